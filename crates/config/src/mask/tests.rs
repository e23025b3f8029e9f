use super::*;

/// The whole text as it would be shown.
fn masked(text: &str) -> String {
    let file = SourceFile::new("a.yaml", "", text);
    (1..=text.lines().count()).map(|line| shown(&file, line, &[]).text).collect::<Vec<_>>().join("\n")
}

#[test]
fn plain_credentials_are_hidden_and_references_are_not() {
    let check = |text: &str, expected: &str| assert_eq!(masked(text), expected, "{text}");
    check("  token: abcdef", "  token: ***");
    check("p: { client_secret: \"a b\", page_sise: 1 }", "p: { client_secret: \"***\", page_sise: 1 }");
    check("token: ${TOKEN}", "token: ${TOKEN}");
    check("token: ${TOKEN:-abc}", "token: ***");
    check("token: { env: X }", "token: { env: X }");
    check("token: { exec: [cat, x] }", "token: { exec: [cat, ***] }");
    check(
        "token:\n  exec:\n    - sh\n    - -c\n    - \"echo a\"\nb: c",
        "token:\n  exec:\n    - sh\n    - ***\n    - \"***\"\nb: c",
    );
    check("a: { exec: [cat, x] }", "a: { exec: [cat, x] }");
    check("key_file: a.pem", "key_file: a.pem");
    check("é_token: x", "é_token: ***");
    check("a: { token: x }", "a: { token: *** }");
    check("token: [x]", "token: [***]");
    check("token:", "token:");
    // Misspelled.
    check("tokn: abc\npage_sise: 1", "tokn: ***\npage_sise: 1");
    for key in ["tokem", "toekn", "client_secrt", "apikey", "passwd", "api_kye", "user_pasword"] {
        check(&format!("{key}: abc"), &format!("{key}: ***"));
    }
    check("token_endpoint: https://a/t\nclient_id: b", "token_endpoint: https://a/t\nclient_id: b");
    check("topic: audit", "topic: audit");
    check("endpoint: http://user:pa@ss@host/p@th", "endpoint: http://***@host/p@th");
    check("endpoint: 'https://host/p@th'", "endpoint: 'https://host/p@th'");
    check("proxy: ops:abc@proxy:3128", "proxy: ***@proxy:3128");
    check("p: { endpoint: \"https://ops:abc@host:99999\" }", "p: { endpoint: \"https://***@host:99999\" }");
    check("proxy: http//u:abc@p:3128", "proxy: ***@p:3128");
    check("mail: ops@host", "mail: ops@host");
}

#[test]
fn a_credential_is_known_by_its_key_wherever_it_stands() {
    let check = |text: &str, expected: &str| assert_eq!(masked(text), expected, "{text}");
    check("token:\n  abc\nx: 1", "token:\n  ***\nx: 1");
    check("token: |\n  abc\n  def\nx: 1", "token: |\n  ***\n***\nx: 1");
    check("token:\n  - abc", "token:\n  - ***");
    check("token:\n  \"abc\" : 1", "token:\n  \"***\" : ***");
    check("token: \"abc\n  def\"", "token: \"***\n***\"");
    check("x: &t abc\ntoken: *t", "x: &t ***\ntoken: *t");
    check("token: &t abc", "token: &t ***");
    check(
        "headers: { Authorization: \"Bearer abc\", x-team: [d] }",
        "headers: { Authorization: \"***\", x-team: [***] }",
    );
    check(
        "headers:\n  x-honeycomb-team: abc\n  a: { env: B }\nb: c",
        "headers:\n  x-honeycomb-team: ***\n  a: { env: B }\nb: c",
    );
    check("headers: { Authorization: \"Bearer ${T}\" }", "headers: { Authorization: \"Bearer ${T}\" }");
    check("hedaers: { x-team: abc }", "hedaers: { x-team: *** }");
    check("structured_data: [{ id: abc, prams: {} }]", "structured_data: [{ id: ***, prams: {} }]");
    check("id: abc", "id: abc");
    check("sources:\n  token: abc\n  a: { type: b }", "sources:\n  token: ***\n  a: { type: b }");
    check("headers: { \"authorization: abc\": }", "headers: { \"authorization: ***\": }");
    check("a: { \"token=abc\": }", "a: { \"token=***\": }");
    check("sources:\n  my_token: { type: mural }", "sources:\n  my_token: { type: mural }");
    check("endpoint: \"https://a/?token=abc&page=1&sig=x\"", "endpoint: \"https://a/?token=***&page=1&sig=***\"");
    check(
        "o: { \"sasl.password\": \"abc\", \"ssl.key.pem\": abc }",
        "o: { \"sasl.password\": \"***\", \"ssl.key.pem\": *** }",
    );
    check(
        r#"source: ".a = encrypt!(.b, \"AES-256-CFB\", key: \"abc\", iv: x)""#,
        r#"source: ".a = encrypt!(.b, \"AES-256-CFB\", key: \"***\", iv: x)""#,
    );
    check(
        "source: |\n  .a = hmac(.b, \"abc\")\n  token = \"def\"",
        "source: |\n  .a = hmac(.b, \"***\")\n  token = \"***\"",
    );
}

#[test]
fn broken_files_show_no_more() {
    for text in [
        "token: \"abcdef\n  x: 1\n",
        "a: { token: abcdef\n",
        "a: [1\ntoken: abcdef\n",
        "token: |\n      abcdef\n     bad\n",
        "a: b: c\nheaders: { x-team: abcdef }\n",
        "\ttoken: 'abcdef\n",
        "endpoint: https://a\n  token: abcdef\nx: 1\n",
        "a: [1\nproxy: u:abcdef@p:1\n",
    ] {
        assert!(!masked(text).contains("abcdef"), "{}", masked(text));
    }
    let program = SourceFile::new("a.vrl", "", ".a = 1\napi_key = \"abcdef\"\n.token = .b\n");
    assert_eq!(
        (shown(&program, 2, &[]).text.as_str(), shown(&program, 3, &[]).text.as_str()),
        ("api_key = \"***\"", ".token = ***")
    );
}

#[test]
fn columns_follow_what_is_shown() {
    let line = shown(&SourceFile::new("a.yaml", "", "p: { token: abcdef, é: 1 }"), 1, &[]);
    assert_eq!(line.text, "p: { token: ***, é: 1 }");
    assert_eq!((line.column(5), line.column(12), line.column(20), line.column(99)), (5, 12, 17, 23));
}

#[test]
fn what_looks_like_a_token_is_none_of_the_usual_names() {
    for token in ["pat-0123456789abcdef", "hwT0k3n5ecretXyZ", "c2VjcmV0MTIzNDU2Nzg5"] {
        assert!(is_random(token), "{token}");
    }
    for name in [
        "PACTFLOW_TOKEN_2024_11",
        "http_proxy",
        "pactflow-audit-token-v2",
        "ANYPOINT_CLIENT_SECRET",
        "token-2024",
        "s3cr3t1",
    ] {
        assert!(!is_random(name), "{name}");
    }
}
