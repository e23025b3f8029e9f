//! Reads a table and checks that every name in it is known.

use super::{Chosen, Primary, Provider, Resources, Rule};
use crate::ocsf::SCHEMA;
use crate::pattern::{Pattern, Template};
use std::collections::{BTreeMap, BTreeSet};

/// Names that a message may use beside those of the table: the user that the class shows, whoever that is.
const OF_MESSAGE: [&str; 2] = ["user.name", "user.uid"];

impl Provider {
    pub(super) fn parse(yaml: &str) -> Result<Self, String> {
        let mut table: Self = serde_yaml_ng::from_str(yaml).map_err(|error| error.to_string())?;
        table.entities.values_mut().for_each(super::EntitySpec::resolve);
        table.check().map_err(|problem| format!("table `{}`: {problem}", table.id))?;
        if let Some(primary) = &mut table.primary
            && let Some(spec) = table.entities.get(&primary.entity)
        {
            let place = |place: usize| spec.below(&primary.list.join(&place.to_string().into()));
            primary.places = (0..Primary::PLACES).map(place).collect();
        }
        let names: BTreeSet<&String> = table.rules.iter().flat_map(|rule| rule.when.keys()).collect();
        table.subjects = names.into_iter().cloned().collect();
        for rule in &mut table.rules {
            let position = |name: &String| table.subjects.iter().position(|known| known == name);
            let conditions = rule.when.iter().filter_map(|(name, list)| Some((position(name)?, list.0.clone())));
            rule.conditions = conditions.collect();
        }
        Ok(table)
    }

    fn check(&self) -> Result<(), String> {
        self.check_texts()?;
        self.check_entities()?;
        self.check_names(self.message.iter().flat_map(Template::names), &OF_MESSAGE)?;
        self.check_names(self.status.iter().flat_map(|row| row.when.keys()).map(String::as_str), &[])?;
        match &self.resources {
            Some(Resources::Entity { entity }) => self.check_entity(entity)?,
            Some(Resources::Keys { uid_type, .. }) => self.check_names([uid_type.as_str()], &[])?,
            None => {}
        }
        self.rules.iter().chain(&self.otherwise).try_for_each(|rule| self.check_rule(rule))
    }

    fn check_texts(&self) -> Result<(), String> {
        for (name, derived) in &self.derived {
            if !self.facts.contains_key(&derived.from) {
                return Err(format!("`{name}` is derived from `{}`, which is no fact", derived.from));
            }
            self.check_names(derived.without_suffix.iter().flat_map(Template::names), &[])?;
        }
        self.check_names(self.composed.values().flat_map(|parts| &parts.0).flat_map(Template::names), &[])?;
        for name in self.no_fact.keys().chain(self.shown_by.keys()) {
            self.facts.get(name).ok_or_else(|| format!("`{name}` is no fact"))?;
        }
        self.check_names(self.names.values().map(String::as_str), &[])?;
        for name in self.shown_by.values() {
            let known = self.derived.contains_key(name) || self.composed.contains_key(name);
            known.then_some(()).ok_or_else(|| format!("`{name}` is neither derived nor composed"))?;
        }
        Ok(())
    }

    fn check_entities(&self) -> Result<(), String> {
        let captions = self.entities.values().flat_map(|spec| [&spec.user_type, &spec.user_type_with_email]).flatten();
        for caption in self.user_types.values().chain(captions) {
            SCHEMA.user_types.get(caption).ok_or_else(|| format!("`{caption}` is no type of user"))?;
        }
        for caption in self.entity_types.values() {
            SCHEMA.entity_types.get(caption).ok_or_else(|| format!("`{caption}` is no type of entity"))?;
        }
        let typed = self.entities.values().filter_map(|spec| spec.type_by.as_ref());
        self.check_names(typed.map(|by| by.fact.as_str()), &[])?;
        let primary = self.primary.iter().map(|primary| &primary.entity);
        self.actors.iter().chain(primary).try_for_each(|name| self.check_entity(name))
    }

    fn check_rule(&self, rule: &Rule) -> Result<(), String> {
        for code in [rule.is, rule.or] {
            let class = SCHEMA.classes.get(&code.class).ok_or_else(|| format!("no class {}", code.class))?;
            class.activity(code.activity).ok_or_else(|| format!("no activity {} in {}", code.activity, class.name))?;
        }
        if let Some(caption) = &rule.auth_protocol {
            SCHEMA.auth_protocols.get(caption).ok_or_else(|| format!("`{caption}` is no authentication protocol"))?;
        }
        self.check_names(rule.when.keys().map(String::as_str), &[])?;
        let captured: Vec<&str> = rule.when.values().flat_map(|list| &list.0).flat_map(Pattern::names).collect();
        self.check_names(rule.privileges.iter().flat_map(Template::names), &captured)?;
        for chosen in rule.chosen() {
            let selectors = match chosen {
                Chosen::First(selectors) => selectors,
                Chosen::Made(made) => {
                    let templates = [&made.uid, &made.name].into_iter().flatten();
                    self.check_names(templates.flat_map(Template::names), &captured)?;
                    &made.from
                }
            };
            selectors.0.iter().try_for_each(|one| self.check_entity(&one.entity))?;
        }
        Ok(())
    }

    fn check_entity(&self, name: &str) -> Result<(), String> {
        let other = self.primary.as_ref().is_some_and(|primary| primary.others.contains_key(name));
        (other || self.has_entity(name)).then_some(()).ok_or_else(|| format!("no entity `{name}`"))
    }

    fn has_entity(&self, name: &str) -> bool {
        self.entities.contains_key(name) || (name == "actor" && !self.actors.is_empty())
    }

    fn check_names<'n>(&self, names: impl IntoIterator<Item = &'n str>, captured: &[&str]) -> Result<(), String> {
        fn has<V>(map: &BTreeMap<String, V>, name: &str) -> bool {
            map.contains_key(name)
        }
        for name in names {
            let field = |(entity, field): (&str, &str)| {
                self.has_entity(entity) && ["uid", "name", "email", "org", "type"].contains(&field)
            };
            let known = captured.contains(&name)
                || has(&self.facts, name)
                || has(&self.flags, name)
                || has(&self.derived, name)
                || has(&self.composed, name)
                || name.split_once('.').is_some_and(field);
            if !known {
                return Err(format!("`{name}` is neither a fact nor a field of an entity"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::TABLES;
    use super::*;

    #[test]
    fn every_shipped_table_is_sound() {
        for table in TABLES {
            let provider = Provider::parse(table).unwrap();
            assert!(provider.has_entity("actor"), "{}", provider.id);
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error() {
        let check = |provider: &str, from: &str, to: &str, problem: &str| {
            let table = TABLES.iter().find(|table| table.contains(&format!("\nprovider: {provider}\n"))).unwrap();
            assert!(table.contains(from), "{from}");
            let error = Provider::parse(&table.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(problem), "{error}");
        };
        check("mural", "{ operation: SIGN_OUT }", "{ operatoin: SIGN_OUT }", "`operatoin` is neither");
        check("mural", "is: 3002/2", "is: 3002/77", "no activity 77 in Authentication");
        check("mural", "is: 3002/2", "is: 3003/2", "no class 3003");
        check("mural", "APIKEY: Service", "APIKEY: Robot", "`Robot` is no type of user");
        check("mural", "resources: { entity: affected }", "resources: { entity: afected }", "no entity `afected`");
        check("mural", "{affected.name|affected.uid}", "{affected.nam}", "`affected.nam` is neither");
        check("api7", "auth_protocol: LDAP", "auth_protocol: LDOP", "`LDOP` is no authentication protocol");
        check("api7", "{ uri: path }", "{ uri: method }", "`method` is neither derived nor composed");
        check("anypoint", "{ failed: \"true\" }", "{ faild: \"true\" }", "`faild` is neither");
        check("anypoint", "actors: [person, client]", "actors: [persn, client]", "no entity `persn`");
        check("anypoint", "entity: object, prefer", "entity: objct, prefer", "no entity `objct`");
    }
}
