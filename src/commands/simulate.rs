//! `headwater simulate`.

use crate::{
    Failure,
    simulation::{LINGER, scenario},
};
use headwater_runtime::SystemClock;
use headwater_simulator::{Provider, Simulator};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// Serves simulated audit APIs until interrupted; prints one line of address and credential each.
pub(crate) fn simulate(names: &[String], port: u16, scenario_name: &str) -> Result<(), Failure> {
    let providers: Vec<Provider> = if names.is_empty() {
        Provider::ALL.to_vec()
    } else {
        names.iter().map(|name| name.parse().map_err(Failure::usage)).collect::<Result<_, _>>()?
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut simulators = Vec::new();
        for (offset, provider) in (0..).zip(providers) {
            let port = if port == 0 { 0 } else { port + offset };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let simulator =
                Simulator::start_on(address, provider, scenario(scenario_name, provider)?, Arc::new(SystemClock))
                    .map_err(|e| Failure::run(format!("cannot serve `{provider}` on {address}: {e}")))?;
            super::print(format!("{provider} {} {}\n", simulator.url(), simulator.credential()))?;
            simulators.push(simulator);
        }
        super::run::interrupted().await;
        drop(simulators);
        tokio::time::sleep(LINGER).await;
        Ok(())
    })
}
