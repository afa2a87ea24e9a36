//! The locks and atomics of what is shared between threads, and the waits of what is shared between processes: std's own,
//! or shuttle's in the models (`cargo test --lib --features models models::`), which run the same code in many orders.
//!
//! tokio's primitives stay what they are: they need no runtime, and each call on them is one step of a model.

#[cfg(not(all(test, feature = "models")))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic},
    thread::sleep,
};

#[cfg(all(test, feature = "models"))]
pub(crate) use self::models::{Mutex, MutexGuard, PoisonError, atomic, sleep};

/// Locks, also when somebody panicked while holding it: what our locks guard is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks at what other processes change as well: in the models, somebody else may have a turn.
pub(crate) fn others_may_act() {
    #[cfg(all(test, feature = "models"))]
    shuttle::thread::yield_now();
}

#[cfg(all(test, feature = "models"))]
pub(crate) mod models {
    use std::sync::Arc;

    use shuttle::{
        Config, Runner,
        scheduler::{PctScheduler, RandomScheduler, Scheduler},
    };
    pub(crate) use shuttle::{
        future::{block_on, spawn},
        sync::{Mutex, MutexGuard, PoisonError, atomic},
        thread::{self, sleep},
    };

    /// Orders that are tried of each model, if `SWARMCAT_SCHEDULES` does not say how many.
    const SCHEDULES: usize = 1000;
    /// TOML is read on the stack of the thread that asks.
    const STACK: usize = 1 << 20;
    /// The deepest race that is looked for on purpose: one that needs three threads to be stopped at three bad moments.
    const DEPTH: usize = 3;

    /// Runs a model in many orders: one half at random, the other half with few changes of turns at any place.
    pub(crate) fn explore(model: fn()) {
        let asked = std::env::var("SWARMCAT_SCHEDULES").ok().and_then(|number| number.parse().ok());
        let half = asked.unwrap_or(SCHEDULES).div_ceil(2);
        run(RandomScheduler::new(half), model);
        run(PctScheduler::new(DEPTH, half), model);
    }

    fn run(scheduler: impl Scheduler + 'static, model: fn()) {
        let mut config = Config::new();
        config.stack_size = STACK;
        Runner::new(scheduler, config).run(model);
    }

    /// Runs these side by side, to their ends.
    pub(crate) fn side_by_side<const N: usize>(threads: [Box<dyn FnOnce() + Send>; N]) {
        let threads = threads.map(|thread| thread::spawn(thread));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// A directory on a file system that answers at once and gives no file the number of an earlier one.
    pub(crate) fn memory_dir() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    /// A thing that the threads of a model share.
    pub(crate) fn shared<T>(thing: T) -> [Arc<T>; 3] {
        let thing = Arc::new(thing);
        [thing.clone(), thing.clone(), thing]
    }
}
