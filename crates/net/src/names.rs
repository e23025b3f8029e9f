//! Looking up names on threads of their own.
//!
//! The system's look-up blocks, for as long as its name servers say nothing. On the pool of the runtime it would hold up whatever
//! else blocks there: commits, and the look-ups of others. Here a name that is being looked up occupies one thread, however often it is
//! asked for, and whoever waits for it waits for a limited time.

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use hyper_util::client::legacy::connect::{HttpConnector, dns};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;
use tower_service::Service;

/// Longest wait for a name.
const LONGEST: Duration = Duration::from_secs(20);

/// What a name stands for, or why that is not known.
type Found = Result<Arc<[SocketAddr]>, String>;
type LookUp = Shared<BoxFuture<'static, Found>>;
type System = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The look-ups of one client. Clones share them.
#[derive(Clone)]
pub struct Names {
    system: Arc<System>,
    longest: Duration,
    under_way: Arc<Mutex<HashMap<String, LookUp>>>,
}

impl Default for Names {
    fn default() -> Self {
        Self::with(LONGEST, Arc::new(|name: &str| (name, 0).to_socket_addrs().map(Iterator::collect)))
    }
}

impl Names {
    fn with(longest: Duration, system: Arc<System>) -> Self {
        Self { system, longest, under_way: Arc::default() }
    }

    /// A connector for gRPC, as its library makes one but for the look-ups.
    pub fn connector(self, connect_timeout: Duration) -> HttpConnector<Self> {
        let mut connector = HttpConnector::new_with_resolver(self);
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        connector
    }

    /// The addresses of `name`, with port 0. The error says which name it is.
    pub async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let asked = self.ask(name)?;
        let found = tokio::time::timeout(self.longest, asked).await;
        let found = found.unwrap_or_else(|_| Err(format!("no answer in {:?}", self.longest)));
        found
            .map(|addresses| addresses.to_vec())
            .map_err(|why| io::Error::other(format!("the name `{name}` cannot be looked up: {why}")))
    }

    /// The look-up of `name` that is under way, or a new one.
    fn ask(&self, name: &str) -> io::Result<LookUp> {
        let mut under_way = self.under_way();
        if let Some(asked) = under_way.get(name) {
            return Ok(asked.clone());
        }
        let (done, answer) = oneshot::channel();
        let (names, owned) = (self.clone(), name.to_owned());
        std::thread::Builder::new().name("look-up".into()).spawn(move || {
            let found = (names.system)(&owned).map(Arc::from).map_err(|error| error.to_string());
            names.under_way().remove(&owned);
            // Nobody may wait for it any more.
            let _ = done.send(found);
        })?;
        let asked = answer.map(|found| found.unwrap_or_else(|_| Err("the look-up broke off".into()))).boxed().shared();
        under_way.insert(name.to_owned(), asked.clone());
        Ok(asked)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, LookUp>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let found = names.look_up(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Service<dns::Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        let names = self.clone();
        async move { Ok(names.look_up(name.as_str()).await?.into_iter()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let names = Names::default();
        assert!(names.look_up("127.0.0.1").await.unwrap().iter().all(|address| address.ip().is_loopback()));
        let refused = Names::with(LONGEST, Arc::new(|_: &str| Err(io::Error::other("no such name"))));
        let error = refused.look_up("a.example").await.unwrap_err().to_string();
        assert!(error.contains("`a.example`") && error.contains("no such name"), "{error}");
    }

    #[tokio::test]
    async fn a_name_server_that_says_nothing_holds_one_thread_and_up_no_other_name() {
        let (release, silence) = mpsc::channel::<()>();
        let (asked, silence) = (Arc::new(AtomicUsize::new(0)), Mutex::new(silence));
        let counted = asked.clone();
        let names = Names::with(
            Duration::ZERO,
            Arc::new(move |name: &str| {
                if name == "slow.example" {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let _ = silence.lock().unwrap().recv();
                }
                Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
            }),
        );
        for _ in 0..5 {
            let error = names.look_up("slow.example").await.unwrap_err().to_string();
            assert!(error.contains("no answer in 0ns"), "{error}");
        }
        let mut other = names.ask("quick.example").unwrap();
        assert_eq!((&mut other).await.unwrap().len(), 1);
        drop(release);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
