//! libFuzzer on the target that `HEADWATER_FUZZ` names, which begins with the seeds that it puts into `HEADWATER_FUZZ_SEEDS`: see
//! `crates/fuzz/run`.
#![no_main]
#![allow(clippy::panic)] // nobody else sees it

use headwater_fuzz::{Target, target};
use std::{env, path::Path, sync::LazyLock};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = env::var("HEADWATER_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("HEADWATER_FUZZ: there is no target `{name}`"))
});

libfuzzer_sys::fuzz_target!(
    init: {
        if let Some(folder) = env::var_os("HEADWATER_FUZZ_SEEDS") {
            TARGET.plant(Path::new(&folder)).unwrap_or_else(|error| panic!("HEADWATER_FUZZ_SEEDS: {error}"));
        }
    },
    |input: &[u8]| (TARGET.run)(input)
);
