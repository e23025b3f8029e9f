//! Walking forward through a log whose pages move.
//!
//! Each answer is right by itself: of what the server has after the bound, it shows the first so many by start. Two
//! answers are not: in between records appear, expire, and change places with those of the same start. So after each
//! page the walk asks for the first page after the last start it has seen. Only where that leads nowhere, because a page
//! holds one instant alone, does it ask for the next page; then it counts places: as many different records must have
//! been seen as there are places before the start it goes on from. If not, it reads those pages again.
//!
//! Records may show another start than the one they are sorted by: one, those of a host whose clock is wrong, or most. So the order
//! of what has been read at a bound is what most of it agrees on, and the walk goes on from a record with some behind it. Where it
//! arrives, some of those behind must be there, and as many records as the page before has counted: else it was led astray, goes
//! back, and reads twice as many pages before it tries again. Where too much is in no order, it reads page by page, as if all were of one
//! start.
//!
//! As many is not yet the same: one record may have gone and another not been seen. So pages after the first are read
//! twice, until all that was counted has been seen again since. Had a record been missed that was there all the time,
//! one that was counted in its place would have been gone by then.

use crate::page::Pagination;
use chrono::{SubsecRound, TimeDelta};
use headwater_contracts::Timestamp;
use headwater_source_kit::{Empties, ascending, certain, is_unsorted};
use std::collections::{HashMap, HashSet};

/// How far before the last start the next page begins, if possible: servers that compare by the second lose nothing.
const MARGIN: TimeDelta = TimeDelta::seconds(1);
/// The least that includes all records of the last start, by an exclusive bound.
const TICK: TimeDelta = TimeDelta::milliseconds(1);
/// Times the pages at one bound are read until every place is accounted for. Each time, every record of a tie has a new
/// chance of being shown.
const ATTEMPTS: u32 = 60;
/// Times a last page is read again because `count` promises more. It may be wrong, so it is no reason to wait for ever.
const COUNT_ATTEMPTS: u32 = 3;

/// Where a page leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// On: ask again.
    More,
    /// Everything has been read.
    End,
    /// Nowhere, for this reason.
    Stuck(String),
}

/// A record of a page: id and start.
type Listed = (String, Option<Timestamp>);

/// A place in the log.
#[derive(Debug)]
pub(crate) struct Seek {
    /// The bound to ask with. Once it is known to be right, everything that started at or before it has been read.
    bound: Timestamp,
    page: u64,
    /// The pages read at this bound, up to the one before.
    pages: Vec<Vec<Listed>>,
    /// How many pages must be read at this bound before it is left for another.
    least: u64,
    /// Where the walk came from, until this bound is known to be right.
    origin: Option<Origin>,
    /// What has been seen at this bound, by id, with the start that its place stands for.
    seen: HashMap<String, Timestamp>,
    /// What was counted, and where it leads: has to be seen again.
    counted: Option<Counted>,
    attempts: u32,
    count_attempts: u32,
    empties: Empties,
    /// The page being read.
    current: Vec<Listed>,
    remark: Option<String>,
}

/// Where a bound was found.
#[derive(Debug)]
struct Origin {
    bound: Timestamp,
    /// The page of that bound that led on.
    page: u64,
    ahead: Ahead,
}

/// What is ahead of a page.
#[derive(Debug)]
struct Ahead {
    /// The next bound.
    bound: Timestamp,
    /// Records behind it, by id, and the last of their starts.
    behind: HashSet<String>,
    latest: Timestamp,
    /// How many records are behind it at least.
    count: Option<u64>,
}

/// As many records as there were places.
#[derive(Debug)]
struct Counted {
    ids: HashSet<String>,
    /// What is next; `None` for the end.
    next: Option<Ahead>,
}

/// Pages whose records have places.
#[derive(Debug, Default)]
struct Placed {
    /// The different records of each page, with the start that their place stands for.
    places: Vec<(String, Timestamp)>,
    /// The starts that are in order, ascending.
    ordered: Vec<Timestamp>,
    /// How many are not.
    odd: usize,
    records: usize,
}

impl Placed {
    /// Finds the order that most records are in. The others, and those without a start, have the place that they have.
    fn of(pages: &[Vec<Listed>], bound: Timestamp) -> Self {
        let all = || pages.iter().flatten().enumerate();
        let starts: Vec<(usize, Timestamp)> = all().filter_map(|(at, (_, start))| Some((at, (*start)?))).collect();
        let in_order = ascending(&starts.iter().map(|(_, start)| *start).collect::<Vec<_>>());
        let mut ordered = in_order.iter().map(|at| starts[*at]).peekable();
        let mut placed = Self { odd: starts.len() - in_order.len(), ..Self::default() };
        let mut place = bound;
        for page in pages {
            let mut met = HashSet::new();
            for (id, _) in page {
                if let Some((_, start)) = ordered.next_if(|(next, _)| *next == placed.records) {
                    place = start;
                    placed.ordered.push(start);
                }
                placed.records += 1;
                if met.insert(id) {
                    placed.places.push((id.clone(), place));
                }
            }
        }
        placed
    }

    /// What is ahead of the last record that has some behind it.
    fn ahead(&self, bound: Timestamp, count: Option<u64>) -> Option<(Timestamp, Ahead)> {
        let last = certain(&self.ordered).filter(|_| !is_unsorted(self.odd, self.records))?;
        let next = [last - MARGIN, last - TICK].into_iter().find(|next| *next > bound)?;
        let before = self.places.iter().filter(|(_, place)| *place < last).count() as u64;
        let behind = self.places.iter().filter(|(_, place)| *place >= last).map(|(id, _)| id.clone()).collect();
        let latest = self.ordered.last().copied().unwrap_or(last);
        Some((last, Ahead { bound: next, behind, latest, count: count.map(|count| count.saturating_sub(before)) }))
    }
}

impl Seek {
    /// At the first record that started after `bound`.
    pub(crate) fn new(bound: Timestamp) -> Self {
        Self {
            bound,
            page: 1,
            pages: Vec::new(),
            least: 1,
            origin: None,
            seen: HashMap::new(),
            counted: None,
            attempts: 0,
            count_attempts: 0,
            empties: Empties::default(),
            current: Vec::new(),
            remark: None,
        }
    }

    /// What a person should know of the last page.
    pub(crate) fn remark(&mut self) -> Option<String> {
        self.remark.take()
    }

    /// The bound to ask with.
    pub(crate) fn bound(&self) -> Timestamp {
        self.bound
    }

    /// Everything that started at or before this has been read.
    pub(crate) fn reached(&self) -> Timestamp {
        self.origin.as_ref().map_or(self.bound, |origin| origin.bound)
    }

    /// Number of the page to ask for, from 1.
    pub(crate) fn page_number(&self) -> u64 {
        self.page
    }

    /// Records to ask for where `usual` are wanted. Other borders between pages help against a server that does not shuffle
    /// but swaps neighbours.
    pub(crate) fn size(&self, usual: u32) -> u32 {
        if self.attempts % 2 == 1 { usual - usual / 3 } else { usual }
    }

    /// A page begins, perhaps the same one again.
    pub(crate) fn begin_page(&mut self) {
        self.current.clear();
    }

    /// A record of the page.
    pub(crate) fn record(&mut self, id: &str, start: Option<Timestamp>) {
        // Some servers sort by the second: of one second, any order is right.
        self.current.push((id.to_owned(), start.map(|start| start.trunc_subsecs(0))));
    }

    /// The page has been read to its end; `size` records had been asked for.
    pub(crate) fn end_page(&mut self, page: &Pagination, size: u32) -> Step {
        let records = self.current.len() as u64;
        let last_page = page.is_last(self.page, records, u64::from(size));
        self.pages.push(std::mem::take(&mut self.current));
        if self.page < self.least && !last_page {
            return self.turn(records);
        }
        let placed = Placed::of(&self.pages, self.bound);
        self.seen.extend(placed.places.iter().cloned());
        let ahead = placed.ahead(self.bound, page.count).filter(|_| !last_page);
        let last = ahead.as_ref().map(|(last, _)| *last);
        let come = if last_page { Some(Timestamp::MAX_UTC) } else { last };
        if self.is_astray(page.count, come) {
            return self.go_back();
        }
        if last_page {
            let places = placed.places.len() as u64;
            if (self.seen.len() as u64) < places {
                return self.again("records of equal start changed places between two pages");
            }
            if let Some(count) = page.count.filter(|count| *count > places) {
                if self.count_attempts < COUNT_ATTEMPTS {
                    self.count_attempts += 1;
                    return self.again("`count` is more than what the pages hold");
                }
                self.remark = Some(format!(
                    "the server counts {count} records after `{}` and shows {places}, {COUNT_ATTEMPTS} times in a row: what it shows counts as all; if records are missing, tell the vendor",
                    self.bound
                ));
            } else if self.pages.len() > 1 && is_unsorted(placed.odd, placed.records) {
                self.remark = Some(format!(
                    "of {} records after `{}` {} are not in the order of their starts, which was asked for: the log is read page by page; tell the vendor",
                    placed.records, self.bound, placed.odd
                ));
            }
            return self.settle(None);
        }
        // From a bound that is not known to be right, nothing leads on.
        let Some((last, ahead)) = ahead.filter(|_| self.origin.is_none()) else {
            if is_unsorted(placed.odd, placed.records) {
                // To look for an order costs more, the more has been read.
                self.least = self.page * 2;
            }
            return self.turn(records);
        };
        // Places that all answers agree on: those before the start that is gone on from.
        let seen = self.seen.values().filter(|place| **place < last).count();
        if seen < placed.places.iter().filter(|(_, place)| *place < last).count() {
            return self.again("records of equal start changed places between two pages");
        }
        self.settle(Some((last, ahead)))
    }

    /// Asks for the next page at this bound.
    fn turn(&mut self, records: u64) -> Step {
        if let Err(why) = self.empties.page(records) {
            return Step::Stuck(why);
        }
        self.page += 1;
        Step::More
    }

    /// Whether what has been read at this bound shows that it is the wrong one. `come` is how far that has certainly come, if the order
    /// tells.
    fn is_astray(&mut self, count: Option<u64>, come: Option<Timestamp>) -> bool {
        let Some(origin) = &self.origin else { return false };
        let ahead = &origin.ahead;
        if self.page == 1 && ahead.count.zip(count).is_some_and(|(least, count)| count < least) {
            return true;
        }
        if self.pages.iter().flatten().any(|(id, _)| ahead.behind.contains(id)) {
            self.origin = None;
            return false;
        }
        come.is_some_and(|come| come > ahead.latest)
    }

    /// Back to where the walk came from, which is left again after twice as many pages: a log that never proves a step is read in
    /// about four times the requests.
    fn go_back(&mut self) -> Step {
        if let Some(origin) = self.origin.take() {
            let least = origin.page * 2;
            *self = Self { least, ..Self::new(origin.bound) };
        }
        Step::More
    }

    /// All places before the start that is gone on from are accounted for. One page is proof by itself, several have to be seen
    /// again.
    fn settle(&mut self, next: Option<(Timestamp, Ahead)>) -> Step {
        let again =
            self.counted.as_ref().is_some_and(|counted| counted.ids.iter().all(|id| self.seen.contains_key(id)));
        let (last, next) = next.map_or((None, None), |(last, ahead)| (Some(last), Some(ahead)));
        let next = match self.counted.take() {
            Some(counted) if again => counted.next,
            _ if self.page == 1 => next,
            _ => {
                let counts = |place: &Timestamp| last.is_none_or(|last| *place < last);
                let ids = self.seen.drain().filter(|(_, place)| counts(place)).map(|(id, _)| id).collect();
                self.counted = Some(Counted { ids, next });
                return self.again("records that expire cannot be told from those not seen");
            }
        };
        match next {
            Some(ahead) => {
                let next = Self::new(ahead.bound);
                let origin = Some(Origin { bound: self.bound, page: self.page, ahead });
                *self = Self { origin, ..next };
                Step::More
            }
            None => Step::End,
        }
    }

    /// Back to the first page at this bound. What has been seen of it stays seen.
    fn again(&mut self, why: &str) -> Step {
        self.page = 1;
        self.pages.clear();
        self.attempts += 1;
        if self.attempts < ATTEMPTS {
            return Step::More;
        }
        self.attempts = 0;
        Step::Stuck(format!("{why}, {ATTEMPTS} times in a row after `{}`; try a larger `page_size`", self.bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
    }

    /// A server: records by start, ties in an order of each answer's own, and things that happen between two answers.
    struct Server {
        records: Vec<(String, i64)>,
        size: usize,
        appear: Vec<(usize, String, i64)>,
        expire: Vec<usize>,
        cap: u64,
        answers: usize,
        /// Sorts by the second.
        coarse: bool,
    }

    impl Server {
        fn answer(&mut self, bound: Timestamp, page: u64, size: u32) -> (Vec<(String, i64)>, Pagination) {
            self.answers += 1;
            let answers = self.answers;
            if self.expire.contains(&answers) && !self.records.is_empty() {
                let oldest = self.records.iter().map(|(_, start)| *start).min().unwrap();
                let gone = self.records.iter().position(|(_, start)| *start == oldest).unwrap();
                self.records.remove(gone);
            }
            let new =
                self.appear.iter().filter(|(when, ..)| *when == answers).map(|(_, id, start)| (id.clone(), *start));
            self.records.extend(new);
            let mut found: Vec<_> = self.records.iter().filter(|(_, start)| at(*start) > bound).cloned().collect();
            let unit = if self.coarse { 1000 } else { 1 };
            found.sort_by_cached_key(|(id, start)| {
                use std::hash::{DefaultHasher, Hash, Hasher};
                let mut hasher = DefaultHasher::new();
                (id, answers).hash(&mut hasher);
                (start.div_euclid(unit), hasher.finish())
            });
            let size = self.size.min(size as usize);
            let from = (usize::try_from(page).unwrap() - 1) * size;
            let shown: Vec<_> = found.iter().skip(from).take(size).cloned().collect();
            let count = (found.len() as u64).min(self.cap);
            let pagination = Pagination {
                page_number: Some(page),
                page_size: Some(size as u64),
                next_page: None,
                total_pages: Some(count.div_ceil(size as u64)),
                count: Some(count),
                odd: false,
            };
            (shown, pagination)
        }

        fn read(&mut self) -> (HashSet<String>, usize) {
            let mut seek = Seek::new(at(-1));
            let mut read = HashSet::new();
            for _ in 0..20_000 {
                seek.begin_page();
                let size = seek.size(100);
                let (page, pagination) = self.answer(seek.bound(), seek.page_number(), size);
                for (id, start) in page {
                    seek.record(&id, Some(at(start)));
                    read.insert(id);
                }
                match seek.end_page(&pagination, size) {
                    Step::More => {}
                    Step::End => return (read, self.answers),
                    Step::Stuck(why) => panic!("{why}"),
                }
            }
            panic!("the walk does not end");
        }
    }

    fn server(starts: &[i64], size: usize) -> Server {
        let records = starts.iter().enumerate().map(|(n, start)| (format!("r{n}"), *start)).collect();
        Server { records, size, appear: vec![], expire: vec![], cap: u64::MAX, answers: 0, coarse: false }
    }

    proptest! {
        #[test]
        fn whatever_was_there_all_the_time_is_read(
            starts in prop::collection::vec(prop_oneof![0i64..60_000, (0i64..5).prop_map(|n| n * 7_000)], 0..70),
            size in 3usize..30,
            appear in prop::collection::vec((1usize..30, 0i64..60_000), 0..8),
            expire in prop::collection::vec(1usize..30, 0..8),
            capped in any::<bool>(),
            coarse in any::<bool>(),
        ) {
            let mut server = server(&starts, size);
            server.appear = appear.iter().enumerate().map(|(n, (when, start))| (*when, format!("new{n}"), *start)).collect();
            server.expire = expire;
            server.coarse = coarse;
            if capped {
                server.cap = size as u64;
            }
            let before: HashSet<String> = server.records.iter().map(|(id, _)| id.clone()).collect();
            let (read, _) = server.read();
            // One that expired before it was reached is nobody's fault.
            let after: HashSet<String> = server.records.iter().map(|(id, _)| id.clone()).collect();
            let missed: Vec<_> = before.intersection(&after).filter(|id| !read.contains(*id)).collect();
            prop_assert!(missed.is_empty(), "{missed:?}");
        }
    }

    /// What a client that trusts page numbers reads.
    fn by_page_numbers(server: &mut Server) -> HashSet<String> {
        let mut read = HashSet::new();
        for page in 1.. {
            let (records, _) = server.answer(at(-1), page, 100);
            if records.is_empty() {
                break;
            }
            read.extend(records.into_iter().map(|(id, _)| id));
        }
        read
    }

    #[test]
    fn page_numbers_lose_records_where_this_walk_does_not() {
        let spread: Vec<i64> = (0..200).map(|n| n * 5000).collect();
        let expiring = || Server { expire: (2..8).collect(), ..server(&spread, 25) };
        let tied = || server(&[vec![5000; 40], vec![9000; 40]].concat(), 25);
        // What expires has been read by then: nothing need be missed.
        for (make, all) in [(&expiring as &dyn Fn() -> Server, 200), (&tied, 80)] {
            assert!(by_page_numbers(&mut make()).len() < all);
            assert!(make().read().0.len() >= all);
        }
    }

    #[test]
    fn a_tie_of_more_than_a_page_is_read_to_its_last_record() {
        for seed in 0..40 {
            let mut starts = vec![5000; 60];
            starts.extend([1, 2, 3, 9000 + seed]);
            let (read, answers) = server(&starts, 25).read();
            assert_eq!(read.len(), 64);
            assert!(answers < 150, "{answers}");
        }
    }

    #[test]
    fn a_quiet_log_takes_one_request_and_a_long_one_about_one_for_each_page() {
        assert_eq!(server(&[1, 2, 3], 25).read().1, 1);
        assert_eq!(server(&[], 25).read().1, 1);
        let long: Vec<i64> = (0..1000).map(|n| n * 60_000).collect();
        // A tenth of each page is asked for twice.
        assert!(server(&long, 25).read().1 <= 1000 / 20);
    }

    #[test]
    fn an_empty_page_with_pages_behind_it_is_not_the_end() {
        let mut seek = Seek::new(at(0));
        let page = |page, pages| Pagination {
            page_number: Some(page),
            next_page: Some(page + 1),
            total_pages: Some(pages),
            ..Pagination::default()
        };
        assert_eq!(seek.end_page(&page(1, 2), 25), Step::More);
        assert_eq!(seek.page_number(), 2);
        // Never without end.
        let mut steps = (2..).map(|number| seek.end_page(&page(number, u64::MAX), 25));
        assert!(matches!(steps.by_ref().take(100).find(|step| *step != Step::More), Some(Step::Stuck(_))));
    }

    proptest! {
        /// Records that show another start than the one they are sorted by, by seconds to years, wherever they stand: nothing is lost.
        #[test]
        fn records_that_show_another_start_neither_stop_the_walk_nor_lead_it_away(
            gaps in prop::collection::vec(prop_oneof![Just(0i64), 1i64..3_000, 10_000i64..5_000_000], 60..200),
            odd in prop::collection::vec((0usize..200, prop_oneof![-60_000i64..60_000, -100_000_000_000i64..100_000_000_000]), 0..3),
        ) {
            let starts: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let shown: HashMap<String, i64> =
                odd.iter().map(|(n, by)| (format!("r{}", n % starts.len()), starts[n % starts.len()] + by)).collect();
            let mut server = server(&starts, 25);
            prop_assert_eq!(read_shown(&mut server, &shown, 25), Ok(starts.len()));
        }
    }

    /// What is read of a server whose records show other starts, by id, than those they are sorted by.
    fn read_shown(server: &mut Server, shown: &HashMap<String, i64>, size: u32) -> Result<usize, String> {
        let mut seek = Seek::new(at(-1));
        let mut read = HashSet::new();
        for _ in 0..3_000 {
            seek.begin_page();
            let size = seek.size(size);
            let (page, pagination) = server.answer(seek.bound(), seek.page_number(), size);
            for (id, start) in page {
                seek.record(&id, Some(at(*shown.get(&id).unwrap_or(&start))));
                read.insert(id);
            }
            match seek.end_page(&pagination, size) {
                Step::More => {}
                Step::End => return Ok(read.len()),
                Step::Stuck(why) => return Err(why),
            }
        }
        Err("the walk does not end".into())
    }

    proptest! {
        /// However many records show another start, in blocks or everywhere: nothing is lost, and nothing stops the walk.
        #[test]
        fn a_log_that_is_in_little_order_is_read_whole(
            gaps in prop::collection::vec(prop_oneof![Just(0i64), 1i64..3_000, 10_000i64..100_000], 60..300),
            blocks in prop::collection::vec((0usize..300, 1usize..120, -40_000_000i64..40_000_000), 0..3),
            every in prop_oneof![Just(0usize), 2usize..9],
            by in -10_000_000i64..10_000_000,
            size in prop_oneof![Just(5u32), Just(9), Just(25), Just(100)],
        ) {
            let starts: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut shown = HashMap::new();
            for (from, length, by) in blocks {
                let block = starts.iter().enumerate().skip(from).take(length);
                shown.extend(block.map(|(n, start)| (format!("r{n}"), start + by)));
            }
            if every > 0 {
                let some = starts.iter().enumerate().step_by(every);
                shown.extend(some.map(|(n, start)| (format!("r{n}"), start + by)));
            }
            let mut server = server(&starts, size as usize);
            prop_assert_eq!(read_shown(&mut server, &shown, size), Ok(starts.len()));
        }
    }

    #[test]
    fn a_block_of_a_host_whose_clock_is_wrong_leads_nowhere_and_costs_little() {
        let starts: Vec<i64> = (0..320).map(|n| n * 36_000).collect();
        for (from, length) in [(80, 20), (50, 45), (30, 60), (0, 100), (299, 21)] {
            let shown = (from..from + length).map(|n| (format!("r{n}"), starts[n] + 20_000_000)).collect();
            let mut server = server(&starts, 100);
            assert_eq!(read_shown(&mut server, &shown, 100), Ok(320), "{length} from {from}");
            assert!(server.answers < 16, "{length} from {from}: {}", server.answers);
        }
    }

    #[test]
    fn a_block_from_the_future_is_not_taken_for_the_present() {
        let starts: Vec<i64> = (0..4000).map(|n| n * 36_000).collect();
        let shown: HashMap<String, i64> = (40..2000).map(|n| (format!("r{n}"), starts[n] + 500_000_000)).collect();
        let mut server = server(&starts, 100);
        let (mut seek, mut in_pursuit) = (Seek::new(at(-1)), 0);
        loop {
            seek.begin_page();
            let (page, pagination) = server.answer(seek.bound(), seek.page_number(), 100);
            for (id, start) in &page {
                seek.record(id, Some(at(*shown.get(id).unwrap_or(start))));
            }
            let step = seek.end_page(&pagination, 100);
            in_pursuit += u32::from(seek.reached() > at(starts[3999]));
            match step {
                Step::More => {}
                other => break assert_eq!(other, Step::End),
            }
        }
        assert!(in_pursuit == 0 && server.answers > 20, "{in_pursuit} of {}", server.answers);
    }

    #[test]
    fn the_order_of_a_page_is_what_most_records_agree_on() {
        let listed = |start: &i64| (start.to_string(), Some(at(*start)));
        let pages = [[1, 2, 900], [3, 4, 5]].map(|page| page.iter().map(listed).collect());
        let placed = Placed::of(&pages, at(0));
        assert_eq!((placed.odd, placed.records), (1, 6));
        assert_eq!(placed.places[2], ("900".to_owned(), at(2)));
        assert_eq!(placed.ordered, [1, 2, 3, 4, 5].map(at));
    }

    #[test]
    fn a_count_that_promises_too_much_does_not_hold_the_walk_up_for_ever() {
        let mut seek = Seek::new(at(0));
        let page = Pagination { count: Some(9), ..Pagination::default() };
        let mut steps = 0;
        while seek.end_page(&page, 25) == Step::More {
            steps += 1;
        }
        assert_eq!(steps, COUNT_ATTEMPTS);
        assert!(seek.remark().is_some_and(|said| said.contains("counts 9 records") && said.contains("shows 0")));
    }
}
