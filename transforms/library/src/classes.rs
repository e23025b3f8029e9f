//! The attributes that belong to one class, and the guard: a class is used only if what it requires can be filled.

use crate::attributes::{Out, fixed, group, managed_entity, object, thing, user};
use crate::ocsf::{OTHER, SCHEMA};
use crate::pattern::Captures;
use crate::table::{Chosen, Provider, Resources, Rule};
use crate::view::{Entity, View, at, text};
use vrl::value::{ObjectMap, Value};

/// An event and the row of the table that matched it.
pub(crate) struct Case<'c, 'e> {
    pub(crate) table: &'static Provider,
    pub(crate) raw: &'e ObjectMap,
    pub(crate) view: &'c View<'e>,
    pub(crate) rule: Option<&'static Rule>,
    pub(crate) captures: Captures<'static, 'c>,
}

impl<'e> Case<'_, 'e> {
    /// Fills the attributes of class `class_uid` into `out`. On failure names the required attribute that is missing;
    /// `out` is then of no use.
    pub(crate) fn fill(&self, out: &mut Out, class_uid: u16) -> Result<(), &'static str> {
        match class_uid {
            3001 => self.put_user(out),
            3002 => {
                out.put("service", object([("name", fixed(&self.table.product.name))]));
                if let Some(protocol) = self.rule.and_then(|rule| rule.auth_protocol.as_deref()) {
                    out.put("auth_protocol", fixed(protocol));
                    out.put("auth_protocol_id", SCHEMA.auth_protocols.get(protocol).copied().unwrap_or(OTHER));
                }
                self.put_user(out)
            }
            3004 => {
                let entity = self.choose(|rule| &rule.entity).ok_or("entity")?;
                let entity = managed_entity(out, self.table, &entity).ok_or("entity")?;
                out.put("entity", entity);
                Ok(())
            }
            3005 => {
                let privileges = Some(self.privileges()).filter(|list| !list.is_empty()).ok_or("privileges")?;
                out.put("privileges", Value::Array(privileges));
                self.put_user(out)?;
                // What the privileges are for.
                let resources = self.view.further.iter().filter_map(|other| thing(out, other)).collect();
                put_list(out, resources);
                Ok(())
            }
            3006 => {
                let chosen = self.choose(|rule| &rule.group).ok_or("group")?;
                let group = group(out, &chosen).ok_or("group")?;
                out.put("group", group);
                let privileges = self.privileges();
                if !privileges.is_empty() {
                    out.put("privileges", Value::Array(privileges));
                }
                // A change of the group itself concerns no user.
                let _ = self.put_user(out);
                Ok(())
            }
            6001 => {
                let chosen = self.choose(|rule| &rule.web_resource).ok_or("web_resources")?;
                let resource = thing(out, &chosen).ok_or("web_resources")?;
                out.put("web_resources", Value::Array(vec![Value::Object(resource)]));
                Ok(())
            }
            6002 => {
                let mut chosen = self.choose(|rule| &rule.app).ok_or("app")?;
                // The class has no place for a type; the event code has, if there is one.
                if self.view.fact("event_code").is_none() {
                    chosen.kind = None;
                }
                let mut app = thing(out, &chosen).ok_or("app")?;
                app.remove("type");
                out.put("app", Value::Object(app));
                Ok(())
            }
            6003 => {
                self.view.entity("actor").filter(|actor| actor.is_known()).ok_or("actor")?;
                self.view.fact("operation").ok_or("api")?;
                self.put_resources(out);
                Ok(())
            }
            _ => Err("a mapping"),
        }
    }

    fn choose(&self, field: impl Fn(&'static Rule) -> &'static Option<Chosen>) -> Option<Entity<'e>> {
        self.view.choose(field(self.rule?).as_ref()?, &self.captures)
    }

    /// The privileges that the row tells, and those that the event names where the row says. The event's own list also
    /// stays among the unmapped, where it is whole.
    fn privileges(&self) -> Vec<Value> {
        let Some(rule) = self.rule else { return Vec::new() };
        let told = rule.privileges.iter().filter_map(|one| self.view.fill(one, &self.captures));
        let mut names: Vec<Value> = told.map(Value::from).collect();
        if let Some(listed) = &rule.privileges_in
            && let Some(there) = at(self.raw, &listed.at.0)
        {
            collect_texts(there, &listed.keys, &mut names);
        }
        names
    }

    fn put_user(&self, out: &mut Out) -> Result<(), &'static str> {
        let chosen = self.choose(|rule| &rule.user).ok_or("user")?;
        let shown = user(out, self.table, &chosen).ok_or("user")?;
        out.put("user", shown);
        // The log may name the same person twice, as the one who acts and the one affected: shown once is enough.
        for twin in self.view.entities().filter(|other| is_same(other, &chosen)) {
            for (other, shown) in twin.leaves().into_iter().zip(chosen.leaves()) {
                if let (Some(other), Some(shown)) = (other, shown)
                    && other.text == shown.text
                {
                    out.take(other);
                }
            }
        }
        Ok(())
    }

    fn put_resources(&self, out: &mut Out) {
        let resources = match &self.table.resources {
            None => Vec::new(),
            Some(Resources::Entity { entity }) => {
                self.view.entity(entity).and_then(|entity| thing(out, entity)).into_iter().collect()
            }
            Some(Resources::Keys { keys_of, uid_suffix, name_suffix, uid, uid_type, except }) => {
                let mut resources = Vec::new();
                for (key, value) in at(self.raw, &keys_of.0).and_then(Value::as_object).into_iter().flatten() {
                    let key = key.as_str();
                    let (attribute, kind) = if except.iter().any(|other| other == key) {
                        continue;
                    } else if key == uid {
                        ("uid", self.view.lookup(uid_type))
                    } else if let Some(kind) = key.strip_suffix(uid_suffix.as_str()) {
                        ("uid", Some(kind))
                    } else if let Some(kind) = key.strip_suffix(name_suffix.as_str()) {
                        ("name", Some(kind))
                    } else {
                        continue;
                    };
                    let Some(text) = text(value) else { continue };
                    out.used.push((&keys_of.0, Some(key.to_owned())));
                    let mut resource = ObjectMap::from([(attribute.into(), Value::from(text.as_ref()))]);
                    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
                        resource.insert("type".into(), Value::from(kind));
                    }
                    resources.push(resource);
                }
                resources
            }
        };
        put_list(out, resources);
    }
}

fn put_list(out: &mut Out, resources: Vec<ObjectMap>) {
    if !resources.is_empty() {
        out.put("resources", Value::Array(resources.into_iter().map(Value::Object).collect()));
    }
}

/// The plain texts in `value`, and those under `keys` of objects.
fn collect_texts(value: &Value, keys: &[String], texts: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, keys, texts)),
        Value::Object(map) => {
            keys.iter().filter_map(|key| map.get(key.as_str())).for_each(|below| collect_texts(below, keys, texts));
        }
        scalar => texts.extend(text(scalar).map(|text| Value::from(text.as_ref()))),
    }
}

fn is_same(a: &Entity<'_>, b: &Entity<'_>) -> bool {
    matches!((&a.uid, &b.uid), (Some(a), Some(b)) if a.text == b.text)
}
