//! Every task and thread of the process, so that stopping can wait for all of them and a failure is never lost.
//!
//! The stop signal reaches only sources and servers; everything behind them ends because its inlet closes.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Told once, to sources and servers.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns once the process is to stop; at once if it already is.
    pub async fn requested(&mut self) {
        // An error means that the giver is gone, which is a stop too.
        let _gone = self.0.wait_for(|stopping| *stopping).await;
    }

    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("{name} failed: {error:#}")]
    Failed { name: &'static str, error: anyhow::Error },
    #[error("{name} panicked")]
    Panicked { name: &'static str },
}

type Finished = Result<(), TaskError>;

/// Cheap to clone; one set per process.
#[derive(Debug, Clone)]
pub struct Tasks {
    running: Arc<Mutex<JoinSet<Finished>>>,
    stop: watch::Sender<bool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { running: Arc::default(), stop: watch::Sender::new(false) }
    }
}

impl Tasks {
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    pub fn request_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Runs a task to its end. Needs a tokio runtime around the call.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = async move { task.await.map_err(|error| TaskError::Failed { name, error }) };
        self.running.lock().expect("no task panics while it holds the set").spawn(task);
    }

    /// Runs an OS thread to its end, for work that blocks or computes.
    pub fn spawn_thread<F>(&self, name: &'static str, work: F) -> std::io::Result<()>
    where
        F: FnOnce() -> anyhow::Result<()> + Send + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _process_is_ending = sender.send(work());
        })?;
        let task = async move {
            match receiver.await {
                Ok(result) => result.map_err(|error| TaskError::Failed { name, error }),
                Err(_dropped_by_unwinding) => Err(TaskError::Panicked { name }),
            }
        };
        self.running.lock().expect("no task panics while it holds the set").spawn(task);
        Ok(())
    }

    /// Waits until every task has ended, or for the first failure. Tasks may start others meanwhile.
    pub async fn finished(&self) -> Finished {
        loop {
            let next = std::future::poll_fn(|context| {
                self.running.lock().expect("no task panics while it holds the set").poll_join_next(context)
            });
            match next.await {
                None => return Ok(()),
                Some(Ok(result)) => result?,
                Some(Err(_panicked)) => return Err(TaskError::Panicked { name: "a task" }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_ends_the_wait_with_the_name_of_the_task() {
        let tasks = Tasks::default();
        let mut stop = tasks.stop();
        tasks.spawn("patient", async move {
            stop.requested().await;
            Ok(())
        });
        tasks.spawn_thread("hasty", || anyhow::bail!("no")).unwrap();
        let error = tasks.finished().await.unwrap_err();
        assert_eq!(error.to_string(), "hasty failed: no");
        tasks.request_stop();
        tasks.finished().await.unwrap();
    }

    #[tokio::test]
    async fn a_panicking_thread_is_a_failure() {
        let tasks = Tasks::default();
        tasks.spawn_thread("fragile", || panic!("on purpose")).unwrap();
        assert!(matches!(tasks.finished().await, Err(TaskError::Panicked { name: "fragile" })));
    }
}
