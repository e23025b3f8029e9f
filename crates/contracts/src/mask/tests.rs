use super::*;

/// A credential with what notations differ in.
const SECRET: &str = r#"S3c"r\t /+tok-AbCd&Ef=0123'<é>"#;

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain(&[0; 3]).take(3).fold(0_usize, |word, b| word << 8 | usize::from(*b));
        for at in 0..=chunk.len() {
            out.push(char::from(ALPHABET[word >> (18 - 6 * at) & 63]));
        }
    }
    out
}

fn percent(text: &str, keeps: fn(u8) -> bool, lower: bool) -> String {
    let escaped = |b: u8| if lower { format!("%{b:02x}") } else { format!("%{b:02X}") };
    text.bytes().map(|b| if keeps(b) { char::from(b).to_string() } else { escaped(b) }).collect()
}

#[test]
fn a_credential_is_hidden_in_every_notation() {
    learn(SECRET);
    let json = serde_json::to_string(SECRET).unwrap();
    let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let html = SECRET.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let notations = [
        SECRET.to_owned(),
        json.clone(),
        serde_json::to_string(&json).unwrap(),
        format!("{SECRET:?}"),
        form.clone(),
        percent(SECRET, unreserved, false),
        percent(SECRET, unreserved, true),
        percent(SECRET, |b| b.is_ascii_alphanumeric(), true),
        percent(SECRET, |_| false, false),
        percent(&form, unreserved, false),
        html,
        json.replace('/', "\\/").replace('é', "\\u00e9"),
        SECRET.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<Vec<_>>().concat(),
    ];
    for notation in &notations {
        for (before, after) in [("", ""), ("bad token: Bearer ", " (of é)"), ("{\"a\":", "}")] {
            let masked = mask(&format!("{before}{notation}{after}")).into_owned();
            let inside = masked.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
            let bare = inside.trim_matches(['"', '\\']);
            assert_eq!(bare, MASK, "{notation}");
        }
    }
    for user in ["", "a:", "ab:", "abc:", "client:"] {
        let encoded = base64(format!("{user}{SECRET}").as_bytes());
        for encoded in [encoded.clone(), encoded.replace('+', "-").replace('/', "_"), encoded.replace('/', "%2f")] {
            let masked = mask(&format!("Basic {encoded}==")).into_owned();
            assert!(masked.contains(MASK) && masked.len() < 24, "{masked} of {encoded}");
        }
    }
}

#[test]
fn a_part_is_hidden_too_and_words_are_not() {
    learn("kP9vQ2xLm8RtZw4Y");
    learn("correct-horse-battery-staple-headwater");
    for cut in 8..16 {
        assert_eq!(mask(&format!("got {}..", &"kP9vQ2xLm8RtZw4Y"[..cut])), "got ***..");
    }
    assert_eq!(mask("headwater has a horse"), "headwater has a horse");
    assert_eq!(mask("correct-horse-battery"), "***");
    assert_eq!(mask("correct+horse+battery"), "***");
}

#[test]
fn short_credentials_are_hidden_where_they_are_no_part_of_a_word() {
    ["q7", "zork", "plugh1"].into_iter().for_each(learn);
    assert_eq!(mask("q7 zorks zork. xplugh1x"), "q7 zorks ***. x***x");
    assert_eq!(mask("Authorization: Bearer q7, bearer: q7s"), "Authorization: Bearer ***, bearer: q7s");
}

#[test]
fn what_is_within_a_header_is_a_credential_too() {
    learn("Basic dXNlcjp4eXp6eVo5");
    assert_eq!(mask("password xyzzyZ9 of user"), "password *** of user");
    learn_url("http://u:p%40rolaX1@proxy:1/?access_token=frobozzT1&page=seventeenX1");
    assert_eq!(mask("p@rolaX1 p%40rolaX1 frobozzT1 seventeenX1"), "*** *** *** seventeenX1");
    for address in
        ["ops:xyzzyA1@proxy:3128", "https://ops:xyzzyB2@host:99999", "http//u:xyzzyC3@p:1", "https://h/a@b:xyzzyD4"]
    {
        learn_address(address);
    }
    assert_eq!(mask("xyzzyA1 xyzzyB2 xyzzyC3 xyzzyD4 host:99999"), "*** *** *** xyzzyD4 host:99999");
    learn_pem(b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\nq8Kx\n-----END PRIVATE KEY-----\n");
    assert_eq!(mask("-----BEGIN PRIVATE KEY----- MC4CAQAwBQYDK2VwBCIEIH"), "-----BEGIN PRIVATE KEY----- ***");
}

#[test]
fn fetched_tokens_are_forgotten_in_the_end_and_our_own_marks_are_never_shown() {
    for n in 0..2000 {
        learn_token(&format!("tokenN{n}-{}", "xY7".repeat(30)));
    }
    let held = known().tokens.iter().map(String::len).sum::<usize>();
    assert!((TOKENS_MAX / 2..=TOKENS_MAX).contains(&held));
    assert_eq!(mask("headwater/0.1 (+https://x; req 0a1b2c3d4e5f6071)"), "headwater/0.1 (+https://x; req ***)");
}

#[test]
fn a_credential_in_utf_16_is_hidden() {
    learn("wideSecretZ19");
    let wide = |text: &str| text.chars().flat_map(|c| [c, '\0']).collect::<String>();
    let text = wide("key wideSecretZ19 is bad");
    for text in [text.clone(), crate::shown(&text, 300), serde_json::to_string(&text).unwrap(), format!("{text:?}")] {
        let masked = mask(&text).into_owned();
        assert!(masked.contains(MASK) && !masked.contains('Z'), "{masked:?}");
    }
}

#[test]
fn documents_keep_their_shape() {
    learn("documentSecret1");
    let mut document = serde_json::json!({ "a": ["documentSecret1", 1], "documentSecret1": null });
    mask_json(&mut document);
    assert_eq!(document, serde_json::json!({ "a": ["***", 1], "documentSecret1": null }));
}
