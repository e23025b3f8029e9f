//! The memory allocator, and how readily memory is given back.

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

/// Gives back what only the loader has read: above all the list of addresses that it had to mend, some megabytes in a program of this
/// size. The pages are the file's, and come back from it should anybody look at them.
#[cfg(target_os = "linux")]
pub(crate) fn forget_the_loading() {
    let Some((start, length)) = headers() else { return };
    // SAFETY: the segment of a file that is mapped for reading alone: it was never written to, so that what is read again is the same.
    #[allow(unsafe_code)] // a call of the system
    unsafe {
        libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED);
    }
}

/// Where the program's headers are mapped, with the constants beside them: address and length, from `/proc/self/maps` (proc_pid_maps(5)).
#[cfg(target_os = "linux")]
fn headers() -> Option<(usize, usize)> {
    let program = std::fs::read_link("/proc/self/exe").ok()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let addresses = maps.lines().find_map(|line| {
        let (addresses, rest) = line.split_once(" r--p 00000000 ")?;
        rest.ends_with(program.to_str()?).then_some(addresses)
    })?;
    let (start, end) = addresses.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    Some((start, end.checked_sub(start)?))
}

/// Elsewhere there is no such list to look at.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forget_the_loading() {}
