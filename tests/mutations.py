#!/usr/bin/env python3
"""Breaks what tests guard, one place after another, and says which break no test noticed. `make mutations`.

Each mutation replaces one text by another in a copy of the repository's last commit and runs the tests that are to notice. It takes a build
and a run each, so it is not part of `make test`. Exit code 1: a mutation was not noticed, or its text is no longer there.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / ".cache" / "mutations"

# What is broken; file; text; in its place; tests; a seed where chance may miss it.
MUTATIONS = [
    ("R1: acknowledged before the journal has it", "src/journal/writer.rs",
     "            Work::Batch(batch) => {\n",
     "            Work::Batch(mut batch) => {\n                batch.keep_promises();\n",
     ["--test", "it", "kill::"]),
    ("R1: the journal's cursor moves before the archive has it", "src/storage/archive_writer.rs",
     "                    let mut records = self.decode(&frames);\n",
     "                    let mut records = self.decode(&frames);\n                    let _early = self.reader.commit();\n",
     ["--test", "it", "kill::nothing_is_lost_or"]),
    ("R2: the journal is not synced", "src/journal/writer.rs",
     "        file.sync().map_err(disk_error(\"sync\", &path))?;\n", "",
     ["--lib", "journal::"]),
    ("R2: the folder of a new segment is not synced", "src/journal/space.rs",
     "        self.disk.sync_directory(&self.directory).map_err(disk_error(\"sync\", &self.directory))?;\n        let end",
     "        let end",
     ["--lib", "journal::"]),
    ("R3: what the archive did not take is passed over", "src/storage/archive_writer.rs",
     "            Err(error) if error.is_transient() => return Err(error.into()),\n",
     "            Err(error) if error.is_transient() => return Ok(Stored::default()),\n",
     ["--test", "it", "network::"]),
    ("R5: a broker's message is acknowledged when it arrives", "src/ingest/subscriber.rs",
     "        let settled = self.intake.settle(&mut pending).await;\n",
     "        let settled = Ok(());\n        tokio::spawn(async move { drop(pending) });\n",
     ["--test", "it", "shared::two"]),
    ("R7: a repeated reading is not known", "src/analytics/lane.rs",
     "Found::Duplicate => outcome.duplicates += 1,", "Found::Duplicate => outcome.accepted += 1,",
     ["--lib", "lane"]),
    ("R8: a reading ahead of our clock is judged", "src/analytics/lane.rs",
     "            (Timing::Future, _) => Err(NotScored::Future),\n", "",
     ["--test", "it", "machine::a_clock"]),
    ("R11: a connection is kept after its transaction failed", "src/storage/sqlite/mod.rs",
     "    if result.is_err()\n", "    if false\n",
     ["--test", "it", "machine::a_full_disk"]),
    ("R12: checksums are not compared", "src/journal/frame.rs",
     "bytes]) != checksum {", "bytes]) != checksum && position == u64::MAX {",
     ["--lib", "journal::"]),
    ("R12: the same damage is told of after every start", "src/journal/damage.rs",
     "        kept.known.retain(|(file, _)| names.contains(file));\n",
     "        let _ = &names;\n        kept.known.clear();\n",
     ["--test", "it", "damage::"]),
    ("R12: nobody is told of damage", "src/alerts/journal_damage.rs",
     "        outbox.put_text(&[(id, event)], clock::now()).await?;\n", "        let _ = (outbox, id, event);\n",
     ["--test", "it", "damage::"]),
    ("links: what had no answer is not sent again", "src/rpc/link/deliveries.rs",
     "        let mut again: Option<u64> = Some(0);\n", "        let mut again: Option<u64> = None;\n",
     ["--test", "it", "cut::"]),
    ("R13: overload leaves nothing out", "src/analytics/lanes.rs",
     "            self.lane.shed(shed);\n", "",
     ["--lib", "lanes::"]),
    ("messages are not held", "src/analytics/lanes.rs",
     "            self.hold.pass(&mut deliveries, Instant::now());\n", "",
     ["--lib", "lanes::"]),
    ("a replay does not say why a model raised", "src/analytics/lane/alerts.rs",
     "            let number = self.row_again(vehicle, assessment, judge);\n", "            let number = None;\n",
     # A day on which a model's alert is on its way at the kill.
     ["--test", "it", "twin::"], "1795535384771682"),
    ("a backup's cursors are later than its archive", "src/backup/mod.rs",
     """    for (name, content) in snapshot.cursors() {
        target.add(&format!("{JOURNAL}/{name}"), &**content)?;
    }
    let archive = copy_archive(settings, &address, &mut snapshot, &mut target).await?;
""",
     """    let archive = copy_archive(settings, &address, &mut snapshot, &mut target).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (name, content) in Snapshot::begin(&journal)?.cursors() {
        target.add(&format!("{JOURNAL}/{name}"), &**content)?;
    }
""",
     ["--test", "it", "backup::w"]),
    ("a backup has no states of vehicles", "src/backup/mod.rs",
     "if let Some(Piece { name, content }) = snapshot.checkpoints()? {",
     "if let (true, Some(Piece { name, content })) = (false, snapshot.checkpoints()?) {",
     ["--test", "it", "backup::w"]),
    ("a backup's last segment is copied beyond its last frame", "src/journal/backup.rs",
     "None => pinned.end_of_frames(*start, file_bytes)?,", "None => { let _ = Pinned::end_of_frames; file_bytes }",
     ["--lib", "journal::tests::backup"]),
    ("a restore does not compare checksums", "src/backup/restore.rs",
     "    if (bytes, &sha256) == (entry.bytes, &entry.sha256) {\n", "    if true {\n",
     ["--test", "it", "backup::a_restore"]),
    ("S1: a certificate is not judged", "src/tls/judged.rs",
     "    if let Err(error) = strict.verify_client_cert(own, others, UnixTime::since_unix_epoch(seconds)) {\n",
     "    if let (Err(error), true) = (strict.verify_client_cert(own, others, UnixTime::since_unix_epoch(seconds)), false) {\n",
     ["--lib", "judged_tests::a_lenient"]),
    ("S1: nobody asks for the key of a certificate", "src/tls/judged.rs",
     "        self.0.verify_tls13_signature(message, certificate, signature)\n",
     "        let _ = self.0.verify_tls13_signature(message, certificate, signature);\n        Ok(HandshakeSignatureValid::assertion())\n",
     ["--lib", "judged_tests::a_certificate_whose"]),
    ("S1: a vehicle has any client identifier", "src/ingest/front_door_identity.rs",
     "            Owner::Vehicle { id, .. } => client_id == id.as_str(),\n",
     "            Owner::Vehicle { .. } => true,\n",
     ["--test", "it", "identity::a_stranger"]),
    ("S1: a vehicle publishes to any topic", "src/ingest/front_door_identity.rs",
     "            Some(Owner::Vehicle { id, .. }) => sent_for == Some(id.as_str()),\n",
     "            Some(Owner::Vehicle { .. }) => sent_for.is_some(),\n",
     ["--test", "it", "identity::a_stranger"]),
    ("S1: an open connection outlives its certificate", "src/tls/server.rs",
     "        self.config.get().revocations.has_certificate(certificate).then_some(Refused::Revoked)\n",
     "        None\n",
     ["--test", "it", "identity::a_certificate_that_is_revoked"]),
    ("S1: an open connection outlives its password", "src/ingest/passwords.rs",
     "        self.entries.get().get(&proof.vehicle_id) == Some(&proof.hash)\n",
     "        proof.hash.len() > 1\n",
     ["--test", "it", "identity::a_certificate_that_is_revoked"]),
    ("S1: any password will do", "src/ingest/passwords.rs",
     "            (Ok(true), Some(proof)) => LogIn::Proven(proof),\n",
     "            (Ok(_), Some(proof)) => LogIn::Proven(proof),\n",
     ["--lib", "passwords::"]),
    ("S1: any number of log-ins waits", "src/ingest/passwords.rs",
     "places: Semaphore::new(CHECKS + WAITING)", "places: Semaphore::new(CHECKS + 10 * WAITING)",
     ["--lib", "passwords::"]),
    ("S1: a gateway is whom it likes to be", "src/ingest/front_door_identity.rs",
     "                client_id == service_name(&certificate.peer) && !is_vehicle\n",
     "                !service_name(&certificate.peer).is_empty() && !is_vehicle\n",
     ["--test", "it", "identity::a_gateway"]),
    ("S1: vehicles prove nothing beyond loopback", "src/settings/contradictions.rs",
     "            self.mqtt.wants_identities() || addresses", "            true || addresses",
     ["--lib", "contradictions::"]),
    ("a quota is not asked", "src/ingest/quota.rs",
     "        self.limiter.check_key(vehicle_id).map_err(", "        self.limiter.check_key(vehicle_id).or_else(|until| if true { Ok(()) } else { Err(until) }).map_err(",
     ["--test", "it", "identity::a_flood"]),
    ("who has the whole quota again is remembered", "src/ingest/quota.rs",
     "        self.limiter.retain_recent();\n", "",
     ["--lib", "quota::"]),
    ("every refusal is logged", "src/ingest/refusals.rs",
     "now.duration_since(logged_at) < LOG_PAUSE", "now.duration_since(logged_at) < LOG_PAUSE / 1_000",
     ["--lib", "refusals::"]),
    ("a certificate is overwritten", "src/cli/pki/folder.rs",
     "        if self.newest(name).is_ok() {\n", "        if self.newest(name).is_ok() && name.is_empty() {\n",
     ["--test", "it", "identity::the_certificate_folder"]),
    ("only the newest certificate of a name is revoked", "src/cli/pki/folder.rs",
     "        for one in self.issued.iter_mut().filter(|one| one.name == name) {\n",
     "        for one in self.issued.iter_mut().rev().filter(|one| one.name == name).take(1) {\n",
     ["--test", "it", "identity::the_certificate_folder"]),
]


def run(*command, **options):
    return subprocess.run(command, cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def prepare():
    if not COPY.exists():
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", "--force", COPY, "HEAD"], cwd=ROOT, check=True)
        (COPY / ".cache").symlink_to(ROOT / ".cache")
        shutil.copytree(ROOT / "src/dashboard/web/dist", COPY / "src/dashboard/web/dist", dirs_exist_ok=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    run("git", "checkout", "--force", "--detach", head, check=True)


def noticed(mutation):
    """Whether a test failed, and the last lines of it."""
    _, file, text, instead, tests, *seed = mutation
    path = COPY / file
    before = path.read_text()
    if before.count(text) != 1:
        return None, f"{file} has the text {before.count(text)} times, not once"
    path.write_text(before.replace(text, instead))
    try:
        environment = os.environ | {"CARGO_TARGET_DIR": str(COPY / "target")} | dict.fromkeys(["ODOGRAPH_TEST_SEED"] if seed else [], *seed)
        built = run("cargo", "test", "--locked", "--no-run", *tests[:2 if tests[0] == "--test" else 1], env=environment)
        if built.returncode != 0:
            return None, "it does not compile:\n" + "\n".join(built.stdout.splitlines()[-30:])
        ran = run("cargo", "test", "--locked", *tests, env=environment, timeout=900)
        failed = [line for line in ran.stdout.splitlines() if line.endswith("FAILED") or "panicked at" in line]
        return ran.returncode != 0, "; ".join(failed[:3])
    finally:
        path.write_text(before)


def main():
    prepare()
    wanted = sys.argv[1:]
    unnoticed = 0
    for mutation in MUTATIONS:
        if wanted and not any(word in mutation[0] for word in wanted):
            continue
        began = time.monotonic()
        was_noticed, how = noticed(mutation)
        verdict = {True: "noticed", False: "NOT NOTICED", None: "BROKEN"}[was_noticed]
        print(f"{verdict:12} {mutation[0]} ({time.monotonic() - began:.0f} s): {how}", flush=True)
        unnoticed += was_noticed is not True
    sys.exit(1 if unnoticed else 0)


main()
