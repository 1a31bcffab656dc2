//! Parts that states share for as long as they stay as they are.

use std::{
    fmt::{self, Debug, Write},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock},
};

/// A part of a state, equal to all that print the same. It is copied, and hashed anew, only when
/// it changes.
#[derive(Clone)]
pub struct Shared<T> {
    value: Arc<T>,
    hash: OnceLock<u64>,
}

impl<T: Clone + Debug> Shared<T> {
    pub fn new(value: T) -> Self {
        Self {
            value: Arc::new(value),
            hash: OnceLock::new(),
        }
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.hash = OnceLock::new();
        Arc::make_mut(&mut self.value)
    }

    fn digest(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let mut printed = Printed(DefaultHasher::new());
            write!(printed, "{:?}", self.value).unwrap();
            printed.0.finish()
        })
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone + Debug> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}

impl<T: Clone + Debug> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl<T: Debug> Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// Hashes what is printed to it.
struct Printed(DefaultHasher);

impl Write for Printed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
