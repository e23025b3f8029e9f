//! Which schema the records of a topic have: subjects, and what the registry said of them.

use crate::{
    registry::Registry,
    schema::{Format, Schema},
};
use headwater_sink_kit::{Facts, Template};
use std::{collections::HashMap, sync::Arc};

/// How subjects are called.
#[derive(Debug)]
pub(crate) enum Subject {
    /// `TOPIC-value`.
    Topic,
    /// The record's full name.
    Record,
    /// `TOPIC-RECORD`.
    TopicRecord,
    /// A text of the user's.
    Template(Template),
}

impl Subject {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "topic" => Self::Topic,
            "record" => Self::Record,
            "topic_record" => Self::TopicRecord,
            "" => return Err("is empty".to_owned()),
            text => Self::Template(Template::parse(text)?),
        })
    }

    /// Whether it names the record, whose schema must be known then.
    pub(crate) fn needs_record(&self) -> bool {
        matches!(self, Self::Record | Self::TopicRecord)
    }
}

/// Where schemas come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// From a file, or from headwater.
    Own(Arc<Schema>),
    /// From the registry: a subject's newest when it is first needed.
    Latest,
}

/// The schemas of a sink's records.
#[derive(Debug)]
pub(crate) struct Subjects {
    pub(crate) registry: Registry,
    pub(crate) format: Format,
    pub(crate) subject: Subject,
    pub(crate) origin: Origin,
    pub(crate) register: bool,
    /// What the registry has said, for as long as the sink lives: an id never comes to mean another schema.
    pub(crate) known: HashMap<String, (u32, Arc<Schema>)>,
}

impl Subjects {
    /// The subject of an event's record in `topic`; `Err` names the field that the event lacks.
    pub(crate) fn subject(&self, event: &Facts<'_>, topic: &str) -> Result<String, String> {
        let record = || match &self.origin {
            Origin::Own(schema) => schema.name(),
            Origin::Latest => String::new(),
        };
        Ok(match &self.subject {
            Subject::Topic => format!("{topic}-value"),
            Subject::Record => record(),
            Subject::TopicRecord => format!("{topic}-{}", record()),
            Subject::Template(template) => template.fill(event)?.into_owned(),
        })
    }

    /// Whether every event's subject is the same in a topic that is the same for all events.
    pub(crate) fn is_fixed(&self) -> bool {
        !matches!(&self.subject, Subject::Template(template) if template.fixed().is_none())
    }

    /// The schema of a subject, and its id; `Err` if [`Subjects::learn`] did not come first.
    pub(crate) fn schema(&self, subject: &str) -> Result<(u32, &Schema), String> {
        let known = self.known.get(subject).map(|(id, schema)| (*id, &**schema));
        known.ok_or_else(|| format!("the schema of subject `{subject}` is not known yet"))
    }

    /// Asks the registry about a subject, unless it has answered before. `Err` says what failed and what to do; asking again may help
    /// then, as all of it can be mended at the registry. Dropping the future is safe.
    pub(crate) async fn learn(&mut self, subject: &str) -> Result<(), String> {
        if self.known.contains_key(subject) {
            return Ok(());
        }
        let found = match &self.origin {
            Origin::Own(schema) if self.register => {
                (self.registry.register(subject, self.format, schema.text()).await?, schema.clone())
            }
            Origin::Own(schema) => (self.registry.look_up(subject, self.format, schema.text()).await?, schema.clone()),
            Origin::Latest => self.latest(subject).await?,
        };
        tracing::info!(subject, schema_id = found.0, "schema");
        self.known.insert(subject.to_owned(), found);
        Ok(())
    }

    async fn latest(&self, subject: &str) -> Result<(u32, Arc<Schema>), String> {
        let newest = self.registry.latest(subject).await?;
        let unfit = |problem: &str| format!("the newest schema of subject `{subject}` (id {}) {problem}", newest.id);
        if newest.kind != self.format.registry_name() {
            let problem = format!("is {}: set `encoding`, or register a schema of its kind", newest.kind);
            return Err(unfit(&problem));
        }
        if newest.refers {
            return Err(unfit("needs others, which cannot be followed: name a `file` that has all of it"));
        }
        let schema = Schema::parse(self.format, "schema", &newest.text, None).map_err(|problem| unfit(&problem))?;
        Ok((newest.id, Arc::new(schema)))
    }
}
