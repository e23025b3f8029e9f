//! A disk of two files that remembers what was synced, and fails when told to.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::StorageBackend;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// What goes wrong, at the operation with the given number (writes, changes of length and syncs count).
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Fault {
    #[default]
    None,
    /// The power goes: this operation is lost, and so is everything after.
    Crash(usize),
    /// From here on there is no space for writes, until [`Disk::repair`].
    Full(usize),
    /// This one operation fails, once.
    Error(usize),
}

/// How much of the operation at which the power went was done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Torn {
    Nothing,
    Prefix,
    Suffix,
}

/// What becomes of operations that were done after the last sync.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unsynced {
    /// The process died, the system lives: they are there.
    Kept,
    /// The power went before any of it left memory.
    Lost,
    /// Some are there, some are not, some in part.
    Some(u64),
}

#[derive(Debug, Clone)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Operation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Write(at, data) => {
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }

    /// The first half or the second half of it; a length is changed or it is not.
    fn torn(&self, torn: Torn, split: usize) -> Option<Self> {
        match (self, torn) {
            (_, Torn::Nothing) | (Self::SetLen(_), _) => None,
            (Self::Write(at, data), Torn::Prefix) => Some(Self::Write(*at, data[..split.min(data.len())].to_vec())),
            (Self::Write(at, data), Torn::Suffix) => {
                let split = split.min(data.len());
                Some(Self::Write(at + split, data[split..].to_vec()))
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Write(_, data) => data.len(),
            Self::SetLen(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Contents {
    /// What a reader sees.
    bytes: Vec<u8>,
    /// What the last sync made certain.
    synced: Vec<u8>,
    /// What was done since.
    since: Vec<Operation>,
}

#[derive(Debug, Default)]
struct State {
    files: [Contents; 2],
    /// The operation that the crash interrupted, and its file.
    interrupted: Option<(usize, Operation)>,
    operations: usize,
    fault: Fault,
    dead: bool,
}

/// One of the two files.
#[derive(Debug, Default)]
pub(super) struct Disk {
    state: Arc<Mutex<State>>,
    file: usize,
}

impl Disk {
    pub(super) fn failing(fault: Fault) -> Self {
        Self::with(State { fault, ..State::default() })
    }

    fn with(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), file: 0 }
    }

    /// The other file.
    pub(super) fn other(&self) -> Self {
        Self { state: self.state.clone(), file: 1 - self.file }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn operations(&self) -> usize {
        self.state().operations
    }

    /// There is space again.
    pub(super) fn repair(&self) {
        self.state().fault = Fault::None;
    }

    /// The disk as the next start of the machine finds it.
    pub(super) fn after_crash(&self, torn: Torn, unsynced: Unsynced) -> Self {
        let state = self.state();
        let interrupted = state.interrupted.as_ref();
        let mut random = StdRng::seed_from_u64(match unsynced {
            Unsynced::Some(seed) => seed,
            _ => state.operations as u64,
        });
        let split = random.random_range(0..=interrupted.map_or(0, |(_, operation)| operation.len()));
        let mut after = |(file, contents): (usize, &Contents)| {
            let mut bytes = match unsynced {
                Unsynced::Kept => contents.bytes.clone(),
                Unsynced::Lost | Unsynced::Some(_) => contents.synced.clone(),
            };
            if let Unsynced::Some(_) = unsynced {
                for operation in &contents.since {
                    match random.random_range(0..4) {
                        0 => {}
                        1 => {
                            let split = random.random_range(0..=operation.len());
                            if let Some(part) = operation.torn(Torn::Prefix, split) {
                                part.apply(&mut bytes);
                            }
                        }
                        _ => operation.apply(&mut bytes),
                    }
                }
            }
            let last = interrupted.filter(|(of, _)| *of == file);
            if let Some(last) = last.and_then(|(_, operation)| operation.torn(torn, split)) {
                last.apply(&mut bytes);
            }
            Contents { synced: bytes.clone(), bytes, since: Vec::new() }
        };
        let [first, second] = &state.files;
        let files = [after((0, first)), after((1, second))];
        Self::with(State { files, ..State::default() })
    }

    fn change(&self, operation: Operation) -> io::Result<()> {
        let mut state = self.state();
        let number = state.next()?;
        match state.fault {
            Fault::Crash(at) if number == at => {
                state.dead = true;
                state.interrupted = Some((self.file, operation));
                Err(power())
            }
            Fault::Full(at) if number >= at => Err(io::ErrorKind::StorageFull.into()),
            Fault::Error(at) if number == at => Err(io::Error::other("input/output error")),
            _ => {
                let file = &mut state.files[self.file];
                operation.apply(&mut file.bytes);
                file.since.push(operation);
                Ok(())
            }
        }
    }
}

fn power() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    fn next(&mut self) -> io::Result<usize> {
        if self.dead {
            return Err(power());
        }
        self.operations += 1;
        Ok(self.operations - 1)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().files[self.file].bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        let state = self.state();
        let bytes = state.files[self.file].bytes.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Operation::SetLen(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        let number = state.next()?;
        match state.fault {
            Fault::Crash(at) if number == at => {
                state.dead = true;
                Err(power())
            }
            Fault::Error(at) if number == at => Err(io::Error::other("input/output error")),
            _ => {
                let file = &mut state.files[self.file];
                for operation in std::mem::take(&mut file.since) {
                    operation.apply(&mut file.synced);
                }
                Ok(())
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Operation::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}
