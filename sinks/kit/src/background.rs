//! Blocking work off the async threads, safe to drop.

use tokio::task::{JoinHandle, spawn_blocking};

/// A value that blocking jobs use one after the other, each on a thread for blocking work.
///
/// A job always runs to its end: where the future of [`Background::run`] is dropped midway, the next call waits for
/// that job first. So no two jobs meet, none is cut short, and their order is that of the calls.
pub struct Background<S, T>(State<S, T>);

enum State<S, T> {
    Idle(S),
    Busy(JoinHandle<(S, T)>),
    /// A job panicked and took the value with it.
    Lost,
}

impl<S: Send + 'static, T: Send + 'static> Background<S, T> {
    /// Nothing runs yet.
    pub fn new(state: S) -> Self {
        Self(State::Idle(state))
    }

    /// Runs `job` and gives its result; `None` if this or an earlier job panicked.
    pub async fn run(&mut self, job: impl FnOnce(&mut S) -> T + Send + 'static) -> Option<T> {
        if let State::Busy(earlier) = &mut self.0 {
            // Whoever started it has given up on its result.
            self.0 = earlier.await.map_or(State::Lost, |(state, _)| State::Idle(state));
        }
        let State::Idle(mut state) = std::mem::replace(&mut self.0, State::Lost) else { return None };
        self.0 = State::Busy(spawn_blocking(move || {
            let result = job(&mut state);
            (state, result)
        }));
        let State::Busy(running) = &mut self.0 else { return None };
        match running.await {
            Ok((state, result)) => {
                self.0 = State::Idle(state);
                Some(result)
            }
            Err(_) => {
                self.0 = State::Lost;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, sync::mpsc, task::Poll};

    #[tokio::test]
    async fn a_dropped_call_still_runs_to_its_end_before_the_next() {
        let mut log = Background::new(Vec::new());
        let (release, gate) = mpsc::channel::<()>();
        {
            let mut first = pin!(log.run(move |log: &mut Vec<i32>| {
                gate.recv().unwrap();
                log.push(1);
                log.clone()
            }));
            let polled = std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        release.send(()).unwrap();
        let second = log.run(|log| {
            log.push(2);
            log.clone()
        });
        assert_eq!(second.await, Some(vec![1, 2]));
    }

    #[tokio::test]
    async fn a_panic_is_reported_and_not_passed_on() {
        let mut state = Background::new(());
        assert_eq!(state.run(|()| panic!("planted")).await, None::<()>);
        assert_eq!(state.run(|()| ()).await, None);
    }
}
