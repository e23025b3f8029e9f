//! Records whose times lie outside the range that was asked for.

use headwater_contracts::{Identity, Timestamp, visible};
use std::collections::HashSet;

/// So many on a page prove nothing against the server.
const FEW: u64 = 3;

/// The strays of a scan.
///
/// A server that ignores the range shows many of them: then nothing proves that the range has been read, and the page is refused.
/// A few among others are odd records, with a time of 0 or in another unit. They must not keep the rest from being read, and no
/// other scan would ever ask for them. So the page is asked for again, and the second time they are delivered, without a time.
#[derive(Debug, Default)]
pub struct Strays {
    /// Those that are delivered.
    admitted: HashSet<Identity>,
    /// Those of the page.
    page: Vec<(Identity, String, Timestamp)>,
    remarks: Vec<String>,
}

/// What the strays of a page say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// It can be used.
    Good,
    /// It has to be asked for again, so that its strays are delivered.
    Again,
    /// It is not what was asked for: it has an event of this time, for one.
    Refused(Timestamp),
}

impl Strays {
    /// A page is asked for, perhaps again.
    pub fn begin_page(&mut self) {
        self.page.clear();
    }

    /// A record of the page lies outside. Returns whether it is to be delivered.
    pub fn meet(&mut self, identity: Identity, id: &str, time: Timestamp) -> bool {
        self.page.push((identity, id.to_owned(), time));
        self.admitted.contains(&identity)
    }

    /// The page has ended; it had so many records.
    pub fn judge(&mut self, records: u64) -> Page {
        let count = self.page.len() as u64;
        let Some((_, _, first)) = self.page.first() else { return Page::Good };
        if count > FEW && count * 2 >= records {
            return Page::Refused(*first);
        }
        let mut again = false;
        for (identity, id, time) in &self.page {
            if self.admitted.insert(*identity) {
                again = true;
                self.remarks.push(format!(
                    "the event `{}` has the time `{time}`, which lies outside of what was asked for; it is delivered without a time",
                    visible(id)
                ));
            }
        }
        if again { Page::Again } else { Page::Good }
    }

    /// What is to be said of them.
    pub fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(strays: &mut Strays, number: u8) -> bool {
        strays.meet(Identity::of(&[&[number]]), "a\n2026 INFO b", Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_few_are_delivered_the_second_time() {
        let mut strays = Strays::default();
        assert_eq!(strays.judge(0), Page::Good);
        assert!(!meet(&mut strays, 1));
        assert_eq!(strays.judge(1), Page::Again);
        strays.begin_page();
        assert!(meet(&mut strays, 1));
        assert_eq!(strays.judge(1), Page::Good);
        let remarks = strays.remarks();
        assert!(matches!(&remarks[..], [remark] if remark.contains(r"`a\u{a}2026 INFO b`")), "{remarks:?}");
        assert!(strays.remarks().is_empty());
    }

    #[test]
    fn a_page_of_them_is_refused() {
        let mut strays = Strays::default();
        assert!((0..5).all(|number| !meet(&mut strays, number)));
        assert_eq!(strays.judge(10), Page::Refused(Timestamp::UNIX_EPOCH));
        assert_eq!(strays.judge(11), Page::Again);
    }
}
