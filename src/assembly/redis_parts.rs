//! Everything that needs Redis, where the settings name one. Nothing else in the process waits for it.

use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::alerts::dispatcher::{self, Dispatcher};
use crate::alerts::outbox::Outbox;
use crate::alerts::redis_stream::RedisStream;
use crate::dashboard::Reason;
use crate::domain::SignalTable;
use crate::journal::Journal;
use crate::live::LiveState;
use crate::live::mirror::{self, Mirror};
use crate::settings::Settings;
use crate::tasks::Tasks;

/// A part that needs Redis, and why it cannot reach it at present. Nothing waits for it, so the process is ready all the same.
pub(super) struct RedisPart {
    part: &'static str,
    consequence: &'static str,
    problem: watch::Receiver<Option<String>>,
}

impl RedisPart {
    pub(super) fn problem(&self) -> Option<Reason> {
        let problem = self.problem.borrow().as_ref().map(|problem| format!("{problem}: {}", self.consequence))?;
        Some(Reason { part: self.part, problem })
    }
}

/// The mirror of live state, and the alert queue with its outbox; what else is told of goes into that too.
pub(super) async fn start(
    url: &str,
    journal: &Journal,
    live: &Arc<LiveState>,
    table: &Arc<SignalTable>,
    settings: &Settings,
    tasks: &Tasks,
) -> anyhow::Result<(Vec<RedisPart>, (Outbox, watch::Sender<()>))> {
    let client = mirror::client(url).context("the address in `live.url` is not understood")?;
    let (live_sender, live_problem) = watch::channel(None);
    let mirror = Mirror {
        live: Arc::clone(live),
        table: Arc::clone(table),
        client: client.clone(),
        problem: live_sender,
        stop: tasks.stop(),
    };
    tasks.spawn("live mirror", async move {
        mirror.run().await;
        Ok(())
    });
    let outbox = Outbox::open(&settings.data.join("alerts.sqlite")).await?;
    let (arrived_sender, arrived) = watch::channel(());
    let (queue_sender, queue_problem) = watch::channel(None);
    let dispatcher = Dispatcher {
        reader: journal.reader(dispatcher::CURSOR)?,
        durable: journal.durable(),
        table: Arc::clone(table),
        outbox: outbox.clone(),
        arrived: arrived_sender.clone(),
        runtime: Handle::current(),
    };
    tasks.spawn_thread("alert dispatcher", move || {
        dispatcher.run();
        Ok(())
    })?;
    let closing = outbox.clone();
    tasks.spawn("alert queue", async move {
        RedisStream { outbox: closing.clone(), client, arrived, problem: queue_sender }.run().await;
        closing.close().await;
        Ok(())
    });
    let parts = vec![
        RedisPart { part: "live mirror", consequence: "other processes see old states", problem: live_problem },
        RedisPart { part: "alert queue", consequence: "changes of alerts wait on disk", problem: queue_problem },
    ];
    Ok((parts, (outbox, arrived_sender)))
}
