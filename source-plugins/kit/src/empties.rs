//! Empty pages in the middle of a chain.

/// Most empty pages in a row that are followed.
const MOST: u32 = 10;

/// Counts empty pages that lead on. A server that cuts an answer off by time, or filters it afterwards, may give a page without
/// records and a position from which there are more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Empties(u32);

impl Empties {
    /// Takes note of a page that leads on and has so many records. Fails if too many in a row had none: then nobody knows where the
    /// log ends, and it must not count as read.
    pub fn page(&mut self, records: u64) -> Result<(), String> {
        self.0 = if records == 0 { self.0 + 1 } else { 0 };
        if self.0 < MOST {
            return Ok(());
        }
        self.0 = 0;
        Err(format!(
            "{MOST} empty pages in a row, each of which leads on to another: the end cannot be told; tell the vendor"
        ))
    }

    /// The chain begins again.
    pub fn restart(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_empty_pages_lead_on_and_not_any_number() {
        let mut empties = Empties::default();
        for _ in 0..5 {
            assert!((1..MOST).all(|_| empties.page(0).is_ok()));
            assert!(empties.page(1).is_ok());
        }
        assert!((1..MOST).all(|_| empties.page(0).is_ok()));
        assert!(empties.page(0).is_err());
        assert!((1..MOST).all(|_| empties.page(0).is_ok()));
        empties.restart();
        assert!(empties.page(0).is_ok());
    }
}
