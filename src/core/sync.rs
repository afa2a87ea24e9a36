//! The locks and atomics of what is shared between threads, and the waits of what is shared between processes: std's own,
//! or shuttle's in the models (`cargo test --lib --features models models::`), which run the same code in many orders.
//!
//! tokio's primitives stay what they are: they need no runtime, and each call on them is one step of a model.

#[cfg(not(all(test, feature = "models")))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic},
    thread::sleep,
};

#[cfg(not(all(test, feature = "models")))]
use tokio::runtime::Handle;

#[cfg(all(test, feature = "models"))]
pub(crate) use self::models::{Mutex, MutexGuard, PoisonError, atomic, beside, sleep};

/// Locks, also when somebody panicked while holding it: what our locks guard is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between two looks at what other processes change as well: in the models, somebody else may have a turn.
pub(crate) fn others_may_act() {
    #[cfg(all(test, feature = "models"))]
    shuttle::thread::yield_now();
}

/// Has work done that may have to wait for the disk, and goes on with what came of it on the runtime.
#[cfg(not(all(test, feature = "models")))]
pub(crate) fn beside<T: Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce(T) + Send + 'static,
) {
    let working = runtime.spawn_blocking(work);
    runtime.spawn(async { working.await.map(then) });
}

#[cfg(all(test, feature = "models"))]
pub(crate) mod models {
    use std::{
        cell::{Cell, RefCell},
        sync::Arc,
        time::Duration,
    };

    use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
    use shuttle::{
        Config, Runner,
        scheduler::{PctScheduler, RandomScheduler, Scheduler},
    };
    pub(crate) use shuttle::{
        future::{block_on, spawn},
        sync::{Mutex, MutexGuard, PoisonError, atomic},
        thread::{self, sleep},
    };
    use tokio::{
        runtime::{Builder, Handle, Runtime},
        sync::mpsc::{UnboundedSender, unbounded_channel},
    };

    /// Orders that are tried of each model, if `SWARMCAT_SCHEDULES` does not say how many.
    const SCHEDULES: usize = 1000;
    /// TOML is read on the stack of the thread that asks.
    const STACK: usize = 1 << 20;
    /// The deepest race that is looked for on purpose: one that needs three threads to be stopped at three bad moments.
    const DEPTH: usize = 3;

    /// Runs a model in many orders: one half at random, the other half with few changes of turns at any place.
    pub(crate) fn explore(model: impl Fn() + Clone + Send + Sync + 'static) {
        let asked = std::env::var("SWARMCAT_SCHEDULES").ok().and_then(|number| number.parse().ok());
        let half = asked.unwrap_or(SCHEDULES).div_ceil(2);
        run(RandomScheduler::new(half), model.clone());
        run(PctScheduler::new(DEPTH, half), model);
    }

    /// The same where time is told, which passes only as the model says.
    pub(crate) fn explore_in_time(model: fn(Clock)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // Never dropped: it would wake whoever waited in a model that failed, and nobody is there any more.
        let clock = Clock(Box::leak(Box::new(runtime)));
        let _its_time = clock.0.enter();
        explore(move || model(clock));
    }

    /// What the clock says in a model.
    #[derive(Clone, Copy)]
    pub(crate) struct Clock(&'static Runtime);

    impl Clock {
        /// Some time later; whoever waited for it wakes.
        pub(crate) fn advance(&self, by: Duration) {
            self.0.block_on(tokio::time::advance(by));
        }
    }

    fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
        let mut config = Config::new();
        config.stack_size = STACK;
        Runner::new(scheduler, config).run(model);
    }

    type Task = BoxFuture<'static, ()>;

    thread_local! {
        static TAKER: RefCell<Option<UnboundedSender<Task>>> = const { RefCell::new(None) };
        static WORKS: Cell<usize> = const { Cell::new(0) };
    }

    /// The one thread of a model's current-thread runtime: runs tasks a step at a time, until it is dropped.
    pub(crate) struct Tasks;

    impl Tasks {
        /// There is one at a time.
        pub(crate) fn start() -> Self {
            let (taker, mut taken) = unbounded_channel::<Task>();
            TAKER.replace(Some(taker));
            WORKS.set(0);
            spawn(async move {
                let mut running = FuturesUnordered::new();
                loop {
                    tokio::select! {
                        task = taken.recv() => match task {
                            Some(task) => running.push(task),
                            None => return,
                        },
                        Some(()) = running.next() => {}
                    }
                }
            });
            Tasks
        }

        /// How much was done [`beside`] it.
        pub(crate) fn works() -> usize {
            WORKS.get()
        }

        /// It is to run this as well; nobody does once it is dropped.
        pub(crate) fn take(task: impl Future<Output = ()> + Send + 'static) {
            TAKER.with_borrow(|taker| taker.as_ref().map(|taker| taker.send(Box::pin(task))));
        }
    }

    impl Drop for Tasks {
        fn drop(&mut self) {
            drop(TAKER.take());
        }
    }

    /// The work has a thread of the model.
    pub(crate) fn beside<T: Send + 'static>(
        _: &Handle,
        work: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(T) + Send + 'static,
    ) {
        WORKS.set(WORKS.get() + 1);
        thread::spawn(|| {
            let done = work();
            Tasks::take(async { then(done) });
        });
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
