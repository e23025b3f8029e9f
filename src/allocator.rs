//! The memory allocator, and how readily it gives memory back.

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 (`mi_option_e` in `mimalloc.h`), which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Gives memory back as soon as it is free. Events are allocated on the threads that transform them and freed on those
/// that deliver them; what waits to be given back would grow with a page, not with a batch.
pub(crate) fn give_back_at_once() {
    // SAFETY: sets one integer in a table of options; any time and thread will do, and 0 is among the allowed values.
    #[allow(unsafe_code)] // the bindings offer no other way
    unsafe {
        mi_option_set(PURGE_DELAY, 0);
    }
}
