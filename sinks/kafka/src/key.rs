//! Keys of records: what shares one stays in order.

use headwater_sink_kit::{Facts, Template};

/// What a record's key is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Key {
    /// [`Key::Actor`] of OCSF events. Others do not say who acted, and would all have the same: they have `provider:id`.
    Default,
    /// `provider:tenant:actor`: what a person does stays in order, and people spread over the partitions.
    Actor,
    /// `provider:uid`: a compacted topic keeps each event once.
    EventId,
    /// `provider:tenant`: an account's events stay in order.
    Tenant,
    /// No key: records spread evenly.
    None,
    /// A text of the user's.
    Template(Template),
}

impl Key {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "actor" => Self::Actor,
            "event_id" => Self::EventId,
            "tenant" => Self::Tenant,
            "none" => Self::None,
            text if text.contains("{{") => Self::Template(Template::parse(text)?),
            other => {
                return Err(format!(
                    "`{other}` would be the same for all records: write `actor`, `event_id`, `tenant`, `none`, or a text \
                     with fields such as `{{{{ metadata.uid }}}}`"
                ));
            }
        })
    }

    /// The key of an event's record; `Err` names the field that it lacks.
    pub(crate) fn of(&self, event: &Facts<'_>) -> Result<Option<String>, String> {
        let provider = event.provider();
        let tenant = || event.tenant().unwrap_or("-".into());
        Ok(Some(match self {
            Self::None => return Ok(None),
            Self::EventId => event.event_id(),
            Self::Default if event.class().is_none() => format!("{provider}:{}", event.event().id),
            Self::Tenant => format!("{provider}:{}", tenant()),
            Self::Actor | Self::Default => {
                let user = |field| event.text(&["actor", "user", field]);
                let actor = user("uid").or_else(|| user("name")).unwrap_or("-".into());
                format!("{provider}:{}:{actor}", tenant())
            }
            Self::Template(template) => template.fill(event)?.into_owned(),
        }))
    }
}
