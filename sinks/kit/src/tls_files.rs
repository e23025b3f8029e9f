//! Certificates and keys that are replaced while we run.

use headwater_contracts::{Pem, Tls, files::read_file};

/// What the files of TLS options held when they were last looked at.
#[derive(Debug)]
pub struct TlsFiles {
    tls: Tls,
    seen: Vec<Option<Pem>>,
}

impl TlsFiles {
    /// As they are now.
    pub fn of(tls: &Tls) -> Self {
        Self { tls: tls.clone(), seen: read(tls) }
    }

    /// The options.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Whether they hold something else than at the last call.
    pub fn have_changed(&mut self) -> bool {
        let now = read(&self.tls);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn read(tls: &Tls) -> Vec<Option<Pem>> {
    [&tls.ca_file, &tls.cert_file, &tls.key_file].into_iter().map(|file| read_file(file.as_ref()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_is_replaced_has_changed_once() {
        let dir = std::env::temp_dir().join(format!("headwater-tls-files-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("cert.pem");
        fs::write(&file, "one").unwrap();
        let mut files = TlsFiles::of(&Tls { cert_file: Some(file.clone()), ..Tls::default() });
        assert!(!files.have_changed());
        fs::write(&file, "two").unwrap();
        assert!(files.have_changed() && !files.have_changed());
        fs::remove_dir_all(&dir).unwrap();
        assert!(files.have_changed());
    }
}
