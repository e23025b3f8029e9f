//! "did you mean".

/// Names that mean the same to people, here and in other programs.
const ALIKE: &[&[&str]] = &[
    &["endpoint", "url", "uri", "address", "host", "base_url", "server", "api_url"],
    &["token", "api_key", "api_token", "access_token", "auth_token", "bearer_token", "key", "secret", "api_secret"],
    &["organization_ids", "organization_id", "organizations", "org_ids", "org_id", "orgs"],
    &["bootstrap_servers", "brokers", "bootstrap", "servers", "seed_brokers"],
    &["topic", "topics"],
    &["group", "group_id", "consumer_group"],
    &["poll_interval", "interval", "scrape_interval_secs", "scrape_interval", "every", "poll"],
    &["start_at", "since", "from", "start", "begin_at"],
    &["path", "file", "filename", "filepath"],
    &["source", "program", "script"],
    &["encoding", "codec", "format"],
    &["inputs", "input", "from"],
    &["rate_limit", "rate", "limit", "requests"],
    &["batch", "batching", "buffer"],
    &["type", "kind"],
    &["anypoint", "mulesoft"],
    &["solace_cloud", "solace", "pubsub", "pubsub_plus"],
    &["api7", "apisix", "api7_ee"],
    &["pactflow", "pact"],
    &["console", "stdout", "print", "debug"],
    &["otlp", "otel", "opentelemetry"],
    &["blackhole", "null", "none", "discard"],
    &["remap", "vrl", "map"],
    &["filter", "drop"],
    &["route", "switch", "swimlanes"],
];

/// The name of `known` that means the same as `word`, or is closest to it, if one is close.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let known: Vec<&str> = known.into_iter().collect();
    let groups = ALIKE.iter().filter(|group| group.contains(&word.as_str()));
    let alike = groups.flat_map(|group| group.iter()).find_map(|name| known.iter().find(|known| *known == name));
    if let Some(name) = alike {
        return Some(name);
    }
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    let (name, distance) =
        known.into_iter().map(|name| (name, distance(name))).min_by_key(|(_, distance)| *distance)?;
    // One slip in three letters: more is another word.
    (distance <= word.chars().count().max(name.chars().count()).div_ceil(3) && distance < name.chars().count())
        .then_some(name)
}

/// `did you mean `x`? (keys: x, y)`, or only the list. `None` if nothing is known.
pub(crate) fn hint(word: &str, what: &str, known: &[&str]) -> Option<String> {
    let list = known.join(", ");
    match closest(word, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`? ({what}: {list})")),
        None if known.is_empty() => None,
        None => Some(format!("{what}: {list}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        assert_eq!(closest("page_sise", ["url", "page_size"]), Some("page_size"));
        assert_eq!(closest("Endpiont", ["endpoint", "token"]), Some("endpoint"));
        assert_eq!(closest("colour", ["endpoint", "token"]), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest("url", ["token", "endpoint"]), Some("endpoint"));
        assert_eq!(closest("api_token", ["endpoint", "token"]), Some("token"));
        assert_eq!(closest("token", ["api_key", "filter"]), Some("api_key"));
        assert_eq!(closest("solace", ["pactflow", "solace_cloud"]), Some("solace_cloud"));
        assert_eq!(closest("page-size", ["page_size", "rescan"]), Some("page_size"));
        assert_eq!(hint("x", "keys", &[]), None);
    }
}
