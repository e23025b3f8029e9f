//! How many files and connections may be open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what is allowed. The usual 1024 is little for a pipeline of many streams; where it cannot be raised, it has
/// to do.
pub(crate) fn allow_all_there_may_be() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
