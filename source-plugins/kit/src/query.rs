//! Comparing a query string that a record shows with the parameters that were sent.

use url::form_urlencoded;

/// Whether a raw query string has exactly these parameters, in any order.
pub fn same_query(raw: &str, sent: &[(String, String)]) -> bool {
    let mut seen: Vec<_> = form_urlencoded::parse(raw.as_bytes()).collect();
    let mut sent: Vec<_> = sent.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    seen.sort_unstable();
    sent.sort_unstable();
    seen == sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_query_is_recognised_in_any_order_and_encoding(mut pairs in prop::collection::vec((".{0,5}", ".{0,8}"), 0..5), turn in 0usize..5) {
            let sent = pairs.clone();
            if !pairs.is_empty() {
                let turn = turn % pairs.len();
                pairs.rotate_left(turn);
            }
            let raw = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            prop_assert!(same_query(&raw, &sent));
            let more = format!("{raw}&one=more");
            prop_assert!(!same_query(&more, &sent));
        }
    }
}
