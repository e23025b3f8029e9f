//! Pages, split while they arrive.

use headwater_runtime::{Element, Page, SplitError, Splitter};
use serde_json::Value;
use std::io;

/// Where the array of elements may be.
const PATHS: [&[&str]; 3] = [&[], &["data"], &["a", "b"]];

/// The first byte says where the elements are, the second how long the pieces are.
pub(crate) fn run(input: &[u8]) {
    let [path, length, page @ ..] = input else { return };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    let whole = split(path, page, page.len().max(1));
    let pieces = split(path, page, usize::from(*length).max(1));
    match (&whole, &pieces) {
        (Ok((page, elements)), Ok(other)) => assert!((&other.0.envelope, &other.1) == (&page.envelope, elements)),
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("one way it is a page, the other way it is not: {}", String::from_utf8_lossy(page)),
    }
    // What the splitter takes and a JSON reader takes as well has the same elements.
    if let (Ok((_, elements)), Ok(value)) = (&whole, serde_json::from_slice::<Value>(page)) {
        let array = path.iter().fold(&value, |value, key| &value[key]);
        let read: Result<Vec<Value>, _> = elements.iter().map(|element| serde_json::from_slice(element)).collect();
        // Of a key that stands there twice, readers take the last.
        if let (Ok(read), Some(array)) = (read, array.as_array())
            && !repeats_a_key(page)
        {
            assert_eq!(&read, array);
        }
    }
}

fn split(path: &'static [&'static str], page: &[u8], length: usize) -> Result<(Page, Vec<Vec<u8>>), SplitError> {
    let mut splitter = Splitter::new(path);
    let mut elements = Vec::new();
    for piece in page.chunks(length) {
        splitter.push(piece, &mut |element| match element {
            Element::Whole(raw) => elements.push(raw.to_vec()),
            Element::Piece { .. } => panic!("no page of a fuzzer is as long as that"),
        })?;
    }
    let page = splitter.finish()?;
    assert_eq!(page.records, elements.len() as u64);
    Ok((page, elements))
}

/// Whether a key of the paths stands there more than once, also escaped.
fn repeats_a_key(page: &[u8]) -> bool {
    let text = String::from_utf8_lossy(page);
    text.contains('\\') || ["\"data\"", "\"a\"", "\"b\""].iter().any(|key| text.matches(key).count() > 1)
}

pub(crate) fn seeds() -> io::Result<Vec<Vec<u8>>> {
    let samples = crate::files("crates/simulator/samples", ".json")?;
    let seeds = samples.iter().flat_map(|sample| {
        let data = [b"\x01\x07{\"next\":null,\"data\":[", &sample[..], b",", sample, b"],\"total\":2}"].concat();
        [[b"\x00\x01[", &sample[..], b"]"].concat(), data]
    });
    Ok(seeds.chain([b"\x02\x02{\"x\":{\"b\":[1]},\"a\":{\"b\":[{\"c\":\"]\\\"\"},2]}}".to_vec()]).collect())
}
