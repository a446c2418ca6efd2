//! The round trip that goes away: the shipped model asked over gRPC in a Python process (`benches/roundtrip/scorer.py`), and in this one.
//!
//! One model, the same rows, the same machine, in turn: each round measures every way for a while, and figures are medians of rounds.
//! - one row a call, 64 at once: gRPC calls over one connection; here 64 tokio tasks over a channel to one lane thread, which takes
//!   everything that waits, as `analytics::lanes` does;
//! - one row a call, one after another: a lane that is handed single rows;
//! - 128 rows a call: gRPC with 4 calls at once, so that the other process is never idle; here one after another.
//!
//! Scoring is the lane's, with fill, calibration and all. The Python side is given what helps it: raw bytes instead of protobuf, complete
//! rows, no calibration, and the faster of its two servers (threads, asyncio) for each way. Both sides share the machine, as they would.
//!
//! `make roundtrip`, or `cargo bench --bench roundtrip -- --python PYTHON [--rounds N] [--seconds S]`.

#![expect(clippy::cast_precision_loss, reason = "a benchmark of small numbers")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use odograph::analytics::library::find_library;
use odograph::analytics::model::{Model, Runtime};
use odograph::analytics::scoring::Scoring;
use odograph::bench::scoring::rows::Rows;
use odograph::domain::SignalTable;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

const MODEL: &str = "models/drive_autoencoder/drive_autoencoder.onnx";
const AT_ONCE: usize = 64;
const BATCH: usize = 128;
const BATCHES_AT_ONCE: usize = 4;
/// Full: tasks wait. As large as `analytics.inbox`.
const INBOX: usize = 4_096;

#[derive(Parser)]
struct Arguments {
    /// A Python with grpcio, numpy and onnxruntime
    #[arg(long)]
    python: PathBuf,
    #[arg(long, default_value = "5")]
    rounds: usize,
    /// Of each way in each round
    #[arg(long, default_value = "2")]
    seconds: f64,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows per second of every round, and single calls in microseconds.
struct Way {
    name: &'static str,
    rows_per_second: Vec<f64>,
    micros: Histogram<u64>,
}

struct Scorer {
    process: Child,
    client: SendRequest<Bytes>,
}

impl Drop for Scorer {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(compare(&arguments))
}

async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
    let rows = Arc::new(Rows::around_golden(load(&path)?.contract(), BATCH));
    let threads = start(arguments, &path, "threads").await?;
    let asyncio = start(arguments, &path, "asyncio").await?;
    check(&threads, &path, &rows).await?;
    check(&asyncio, &path, &rows).await?;
    let lane = Lane::start(&path)?;
    let mut direct = scoring(&path)?;
    let names = [
        "Python, threads, 1 row a call, 64 at once",
        "Python, asyncio, 1 row a call, 64 at once",
        "lane, 64 tasks, 1 row each",
        "lane, 1 row a call",
        "Python, threads, 128 rows a call, 4 at once",
        "Python, asyncio, 128 rows a call, 4 at once",
        "lane, 128 rows a call",
    ];
    let micros = || Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are right");
    let mut ways = names.map(|name| Way { name, rows_per_second: Vec::new(), micros: micros() });
    let span = Duration::from_secs_f64(arguments.seconds);
    for _ in 0..arguments.rounds {
        remote(&threads, &rows, Load { at_once: AT_ONCE, batch: 1, span }, &mut ways[0]).await?;
        remote(&asyncio, &rows, Load { at_once: AT_ONCE, batch: 1, span }, &mut ways[1]).await?;
        lane.measure(&rows, span, &mut ways[2]).await?;
        in_place(&mut direct, &rows, 1, span, &mut ways[3])?;
        remote(&threads, &rows, Load { at_once: BATCHES_AT_ONCE, batch: BATCH, span }, &mut ways[4]).await?;
        remote(&asyncio, &rows, Load { at_once: BATCHES_AT_ONCE, batch: BATCH, span }, &mut ways[5]).await?;
        in_place(&mut direct, &rows, BATCH, span, &mut ways[6])?;
    }
    print!("{}", table(&ways));
    Ok(())
}

#[derive(Clone, Copy)]
struct Load {
    at_once: usize,
    batch: usize,
    span: Duration,
}

fn table(ways: &[Way; 7]) -> String {
    let mut text = format!("{:<46} {:>12} {:>9} {:>9}\n", "", "rows/s", "p50 µs", "p99 µs");
    for way in ways {
        let (p50, p99) = (way.micros.value_at_quantile(0.5), way.micros.value_at_quantile(0.99));
        let _infallible = writeln!(text, "{:<46} {:>12.0} {p50:>9} {p99:>9}", way.name, median(&way.rows_per_second));
    }
    for (what, ours, theirs) in [
        ("1 row a call, 64 at once", 2, [0, 1]),
        ("1 row a call, theirs 64 at once, ours one after another", 3, [0, 1]),
        ("128 rows a call", 6, [4, 5]),
    ] {
        let faster = theirs.map(|index| &ways[index].rows_per_second);
        let rounds = ways[ours].rows_per_second.iter().enumerate();
        let ratios: Vec<f64> = rounds.map(|(round, ours)| ours / faster[0][round].max(faster[1][round])).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let _infallible = writeln!(
            text,
            "{what}: {:.1} times the faster Python server ({least:.1} to {most:.1} in the rounds)",
            median(&ratios)
        );
    }
    text
}

fn load(path: &Path) -> anyhow::Result<Model> {
    let runtime = Runtime::load(&find_library(Path::new("")))?;
    Ok(Model::load(&runtime, &std::fs::read(path)?, &SignalTable::default())?)
}

fn scoring(path: &Path) -> anyhow::Result<Scoring> {
    Ok(Scoring::new(vec![load(path)?], &SignalTable::default(), BATCH)?)
}

async fn start(arguments: &Arguments, model: &Path, server: &str) -> anyhow::Result<Scorer> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/roundtrip/scorer.py");
    let mut command = Command::new(&arguments.python);
    command.arg(script).arg(model).args(["--server", server]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.spawn().with_context(|| format!("cannot start {}", arguments.python.display()))?;
    let mut line = String::new();
    let output = process.stdout.take().context("its output is piped")?;
    BufReader::new(output).read_line(&mut line)?;
    let port: u16 = line.trim().parse().with_context(|| format!("the {server} scorer printed no port but {line:?}"))?;
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let (client, connection) = builder.handshake(stream).await?;
    // It ends when the scorer is stopped, with the process at the latest.
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("the connection to a scorer ended: {error}");
        }
    });
    driver.detach_all();
    Ok(Scorer { process, client })
}

/// One unary call: headers, one message, trailers (gRPC over HTTP/2, PROTOCOL-HTTP2.md).
async fn call(client: &SendRequest<Bytes>, rows: &[f32]) -> anyhow::Result<Vec<f32>> {
    let mut message = BytesMut::with_capacity(5 + rows.len() * 4);
    message.put_u8(0);
    message.put_u32(u32::try_from(rows.len() * 4)?);
    for value in rows {
        message.put_f32_le(*value);
    }
    let request = http::Request::post("http://127.0.0.1/bench.Scorer/Score")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let mut client = client.clone().ready().await?;
    let (response, mut stream) = client.send_request(request, false)?;
    stream.send_data(message.freeze(), true)?;
    let mut body = response.await?.into_body();
    let mut answer = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        answer.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?.context("the answer has no trailers")?;
    let status = trailers.get("grpc-status").context("the answer has no status")?;
    ensure!(status == "0", "the scorer answered with status {status:?}");
    ensure!(answer.len() >= 5, "the answer is empty");
    let values = answer[5..].chunks_exact(4);
    Ok(values.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four"))).collect())
}

/// Both sides say the same about the same rows.
async fn check(scorer: &Scorer, path: &Path, rows: &Rows) -> anyhow::Result<()> {
    let (_, filled) = rows.of_call(0, BATCH);
    let theirs = call(&scorer.client, filled).await?;
    let mut ours = Vec::new();
    load(path)?.score(filled, &mut ours)?;
    ensure!(theirs.len() == ours.len(), "{} scores for {} rows", theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(&ours) {
        ensure!((theirs - ours).abs() <= ours.abs() * 1e-3 + 1e-4, "the scorer says {theirs}, the lane {ours}");
    }
    Ok(())
}

async fn remote(scorer: &Scorer, rows: &Arc<Rows>, load: Load, way: &mut Way) -> anyhow::Result<()> {
    let mut calls = JoinSet::new();
    let began = Instant::now();
    for worker in 0..load.at_once {
        let (client, rows) = (scorer.client.clone(), Arc::clone(rows));
        calls.spawn(async move {
            let mut micros = Vec::new();
            while began.elapsed() < load.span {
                let sent = Instant::now();
                let (_, filled) = rows.of_call(worker * 1_009 + micros.len(), load.batch);
                let answered = call(&client, filled).await?;
                ensure!(answered.len() == load.batch, "{} scores for {} rows", answered.len(), load.batch);
                micros.push(sent.elapsed());
            }
            anyhow::Ok(micros)
        });
    }
    let mut count = 0;
    while let Some(finished) = calls.join_next().await {
        for spent in finished?? {
            record(&mut way.micros, spent);
            count += load.batch;
        }
    }
    way.rows_per_second.push(count as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// One after another on this thread.
fn in_place(scoring: &mut Scoring, rows: &Rows, batch: usize, span: Duration, way: &mut Way) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut count, mut scores) = (0, Vec::new());
    while began.elapsed() < span {
        let sent = Instant::now();
        let (raw, _) = rows.of_call(count / batch, batch);
        scoring.clear();
        for row in raw.chunks_exact(rows.width()) {
            scoring.add_row(row);
        }
        scoring.run();
        for number in 0..batch {
            scores.clear();
            ensure!(scoring.judged(number).scores(&mut scores).is_ok(), "a row has no score");
        }
        record(&mut way.micros, sent.elapsed());
        count += batch;
    }
    way.rows_per_second.push(count as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// A row, and where its score is waited for.
type Waiting = (Vec<f32>, oneshot::Sender<f32>);

struct Lane(mpsc::Sender<Waiting>);

impl Lane {
    fn start(path: &Path) -> anyhow::Result<Self> {
        let mut scoring = scoring(path)?;
        let (inlet, mut inbox) = mpsc::channel::<Waiting>(INBOX);
        std::thread::spawn(move || {
            let (mut waiting, mut scores) = (Vec::new(), Vec::new());
            while inbox.blocking_recv_many(&mut waiting, BATCH) > 0 {
                scoring.clear();
                for (row, _) in &waiting {
                    scoring.add_row(row);
                }
                scoring.run();
                for (number, (_, answer)) in waiting.drain(..).enumerate() {
                    scores.clear();
                    let score = scoring.judged(number).scores(&mut scores).ok().and_then(|()| scores.first());
                    let _gone = answer.send(score.map_or(f32::NAN, |score| score.score));
                }
            }
        });
        Ok(Self(inlet))
    }

    async fn measure(&self, rows: &Arc<Rows>, span: Duration, way: &mut Way) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        for worker in 0..AT_ONCE {
            let (inlet, rows) = (self.0.clone(), Arc::clone(rows));
            tasks.spawn(async move {
                let mut micros = Vec::new();
                while began.elapsed() < span {
                    let sent = Instant::now();
                    let (raw, _) = rows.of_call(worker * 1_009 + micros.len(), 1);
                    let (answer, score) = oneshot::channel();
                    inlet.send((raw.to_vec(), answer)).await?;
                    ensure!(score.await?.is_finite(), "a row has no score");
                    micros.push(sent.elapsed());
                }
                anyhow::Ok(micros)
            });
        }
        let mut count = 0;
        while let Some(finished) = tasks.join_next().await {
            for spent in finished?? {
                record(&mut way.micros, spent);
                count += 1;
            }
        }
        way.rows_per_second.push(f64::from(count) / began.elapsed().as_secs_f64());
        Ok(())
    }
}

fn record(micros: &mut Histogram<u64>, spent: Duration) {
    micros.saturating_record(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX).max(1));
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
