//! Standard streams that were closed when the process began.

/// Before `main` the standard library opens `/dev/null` in the place of a standard stream that is closed, and what is written there
/// would count as delivered. This comes before it, and leaves something in that place that takes nothing: a write fails, as it would
/// have without the standard library's care.
#[cfg(target_os = "linux")]
#[used]
#[allow(unsafe_code)]
// nothing else runs so early
// SAFETY: the C library calls each function of this section once, before any other thread is there (System V ABI, "Initialization
// and Termination Functions"); this one calls only what needs neither memory nor the standard library.
#[unsafe(link_section = ".init_array")]
static BEFORE_THE_STANDARD_LIBRARY: extern "C" fn() = {
    extern "C" fn keep_closed() {
        for stream in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            // SAFETY: calls of the system on numbers and a constant text.
            unsafe {
                if libc::fcntl(stream, libc::F_GETFD) == -1 {
                    let unwritable = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
                    if unwritable != stream {
                        libc::dup2(unwritable, stream);
                        libc::close(unwritable);
                    }
                }
            }
        }
    }
    keep_closed
};
