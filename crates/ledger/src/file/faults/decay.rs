//! A page changes on the disk while the ledger is in use.

use super::*;
use crate::Commits;
use redb::{StorageBackend, backends::InMemoryBackend};

#[test]
fn a_page_that_changes_while_the_ledger_is_in_use_is_found_before_long() {
    let disk: Arc<dyn StorageBackend> = Arc::new(InMemoryBackend::new());
    let store = Store::on(disk.clone(), PathBuf::from("simulated")).unwrap();
    let ledger = FileLedger::on(store, Arc::new(InMemoryBackend::new())).unwrap();
    ledger.load(&stream("a"), at(1)).unwrap();
    for batch in 0..20 {
        let settled = (batch * 500..(batch + 1) * 500).map(filed).collect();
        ledger.commit(&stream("a"), &Commit { settled, ..Commit::default() }).unwrap();
    }
    let mut bytes = vec![0; usize::try_from(disk.len().unwrap()).unwrap()];
    disk.read(0, &mut bytes).unwrap();
    // An identity of the middle, wherever it stands: in a page that the commits below do not touch.
    let key = filed(5000).identity.0;
    for place in (0..bytes.len() - key.len()).filter(|place| bytes[*place..].starts_with(&key)) {
        disk.write(place as u64, &[bytes[place] ^ 1]).unwrap();
    }
    let small = Commit { state: Some(json!(1)), ..Commit::default() };
    let error = (0..20_000).find_map(|_| ledger.commit(&stream("a"), &small).err()).expect("it is never found");
    assert!(error.to_string().contains("it is damaged"), "{error}");
    // And is not forgotten.
    assert!(ledger.streams().unwrap_err().to_string().contains("it is damaged"));
}
