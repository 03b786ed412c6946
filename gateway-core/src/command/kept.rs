//! What a gateway's own endpoints keep, such as a registry: it outlives every change of the
//! configuration.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

type Values = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// One value of each type. Endpoints are made anew with every configuration, and find here what
/// the ones before them had.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Values>>);

impl Kept {
    /// The value of this type; the first time, its default.
    #[must_use]
    pub fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        // A panic under the lock leaves a value or none.
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = values.get(&TypeId::of::<T>()).cloned();
        if let Some(Ok(known)) = known.map(Arc::downcast) {
            return known;
        }
        let made = Arc::new(T::default());
        let shared: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&made);
        values.insert(TypeId::of::<T>(), shared);
        made
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
