//! Folders that stand elsewhere than earlier versions looked for them: from the working directory.

use crate::Failure;
use headwater_config::{Pipeline, State};

/// Refuses to begin with an empty ledger where the working directory has the one that an earlier version kept, and remarks on
/// other folders of this kind.
pub(crate) fn in_place(pipeline: &Pipeline) -> Result<(), Failure> {
    for place in &pipeline.places {
        let (before, now) = (&place.written, &place.path);
        if before.is_absolute() || before == now || now.exists() || !before.exists() {
            continue;
        }
        let (before, now) = (before.display(), now.display());
        if matches!(&pipeline.state, State::File { path } if *path == place.path) {
            return Err(Failure::config(format!(
                "relative paths start from the folder of the YAML file, so that the ledger is in `{now}`, which is not there; the \
                 working directory has `{before}`, where earlier versions kept it. Without it, events would be delivered again. Move it \
                 there, or write the whole path at `state.path`"
            )));
        }
        tracing::warn!(
            "relative paths start from the folder of the YAML file: `{now}` is begun, and `{before}` in the working directory, where \
             earlier versions wrote, is left as it is"
        );
    }
    Ok(())
}
