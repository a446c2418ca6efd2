//! The same features from a plain list, written as directly as possible.

use crate::analytics::fixtures::at;
use crate::domain::{Position, Reading, SignalId, signal};

pub struct Step {
    pub seconds: i64,
    pub speed: Option<f64>,
    pub position: Option<Position>,
    pub heading: Option<f64>,
}

pub fn steps(readings: &[Reading]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for reading in readings {
        let seconds = (reading.recorded_at.as_micros() - at(0).as_micros()) / 1_000_000;
        let index = steps.iter().position(|step| step.seconds == seconds).unwrap_or_else(|| {
            steps.push(Step { seconds, speed: None, position: None, heading: None });
            steps.len() - 1
        });
        let step = &mut steps[index];
        let value = |id: SignalId| reading.signals.get(id).map(f64::from);
        step.speed = value(signal::SPEED).or(step.speed);
        step.position = reading.position.or(step.position);
        step.heading = reading.position.and_then(|position| position.heading_deg).map(f64::from).or(step.heading);
    }
    steps.sort_by_key(|step| step.seconds);
    steps
}

fn unchanged(steps: &[Step], at_step: usize, value: f64) -> f64 {
    let is_same = |step: &&Step| step.seconds >= steps[at_step].seconds - 600 && step.speed.is_none_or(|speed| speed == value);
    let run = steps[..=at_step].iter().rev().take_while(is_same).collect::<Vec<_>>();
    let moved = |pair: &&[&Step]| pair[0].speed.is_some_and(|speed| speed > 3.0) && pair[1].speed.is_none_or(|speed| speed > 3.0);
    run.windows(2).filter(moved).map(|pair| (pair[0].seconds - pair[1].seconds) as f64).sum()
}

pub fn row(steps: &[Step], at_step: usize) -> Vec<Option<f64>> {
    let now = steps[at_step].seconds;
    let until_now = &steps[..=at_step];
    let over = |seconds: i64| -> Vec<(f64, f64)> {
        let inside = until_now.iter().filter(|step| step.seconds > now - seconds);
        inside.filter_map(|step| Some(((step.seconds - now) as f64 / 60.0, step.speed?))).collect()
    };
    let values = |seconds| over(seconds).into_iter().map(|(_, value)| value).collect::<Vec<f64>>();
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let smallest = |values: &[f64]| values.iter().copied().reduce(f64::min);
    let largest = |values: &[f64]| values.iter().copied().reduce(f64::max);
    let five = values(300);
    let std = (five.len() >= 2).then(|| {
        let mean = mean(&five).unwrap();
        (five.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / five.len() as f64).sqrt()
    });
    let slope = (five.len() >= 3).then(|| {
        let (times, count) = (over(300).into_iter().map(|(time, _)| time).collect::<Vec<_>>(), five.len() as f64);
        let (mean_time, mean_value) = (times.iter().sum::<f64>() / count, mean(&five).unwrap());
        let products = times.iter().zip(&five).map(|(time, value)| (time - mean_time) * (value - mean_value));
        products.sum::<f64>() / times.iter().map(|time| (time - mean_time).powi(2)).sum::<f64>()
    });
    let weights: Vec<_> = over(300).into_iter().map(|(minutes, value)| (2_f64.powf(minutes), value)).collect();
    let weight_sum: f64 = weights.iter().map(|(weight, _)| weight).sum();
    let ewma = (!weights.is_empty()).then(|| weights.iter().map(|(weight, value)| weight * value).sum::<f64>() / weight_sum);
    let step_count = until_now.iter().filter(|step| step.seconds > now - 300).count() as f64;
    let recent: Vec<&Step> = steps[..at_step].iter().filter(|step| step.seconds >= now - 600).collect();
    let here = &steps[at_step];
    let speed_before = recent.iter().rev().find_map(|step| step.speed);
    let before = recent.iter().rev().find_map(|step| Some((step.position?, step.seconds)));
    let moved = before.and_then(|(position, seconds)| Some((position.distance_m(&here.position?), (now - seconds) as f64)));
    let implied = moved.map(|(metres, seconds)| metres / seconds * 3.6);
    let day = std::f64::consts::TAU * (at(now).as_micros() as f64 / 86_400e6).fract();
    let turn = recent.iter().rev().find_map(|step| step.heading).and_then(|before| Some(here.heading? - before));
    vec![
        here.speed,
        mean(&five),
        std,
        smallest(&values(90)),
        largest(&values(90)),
        largest(&values(600)).zip(smallest(&values(600))).map(|(largest, smallest)| largest - smallest),
        slope,
        here.speed.zip(speed_before).map(|(value, before)| value - before),
        Some(five.len() as f64),
        ewma,
        Some((step_count - five.len() as f64) / step_count),
        recent.last().map(|step| (now - step.seconds) as f64),
        moved.map(|(metres, _)| metres),
        implied,
        here.speed.zip(implied).map(|(speed, implied)| speed - implied),
        Some(day.sin()),
        Some(day.cos()),
        turn.map(|turn| {
            if turn > 180.0 {
                turn - 360.0
            } else if turn <= -180.0 {
                turn + 360.0
            } else {
                turn
            }
        }),
        here.speed.map(|speed| unchanged(steps, at_step, speed)),
        // The profile of these tests is empty.
        None,
        here.speed.and_then(|speed| {
            let before = recent.iter().rev().find(|step| step.speed.is_some())?;
            Some((speed - before.speed?) / 3.6 / (now - before.seconds) as f64)
        }),
    ]
}
