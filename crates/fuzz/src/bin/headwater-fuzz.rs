//! libFuzzer on the target that `HEADWATER_FUZZ` names: see `crates/fuzz/run`.
#![no_main]
#![allow(clippy::panic)] // nobody else sees it

use headwater_fuzz::{Target, target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("HEADWATER_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("HEADWATER_FUZZ: there is no target `{name}`"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
