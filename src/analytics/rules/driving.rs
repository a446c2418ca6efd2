//! How somebody drives. Peaks of the device's own accelerometer where it sends them; else steps of speed, at rates that show them.

use super::Values;
use super::memory::RuleMemory;
use super::moment::Moment;
use super::verdict::Verdict;
use crate::domain::signal as s;

/// A full braking lasts two to four seconds: between readings farther apart nobody sees it.
const SPEED_STEP_S: (f32, f32) = (0.5, 2.0);

pub fn harsh_braking<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    longitudinal(moment).map_or(Verdict::NOT_ASSESSED, |acceleration| Verdict::above(-acceleration, *limit, *close))
}

pub fn harsh_acceleration<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    longitudinal(moment).map_or(Verdict::NOT_ASSESSED, |acceleration| Verdict::above(acceleration, *limit, *close))
}

pub fn harsh_cornering<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let lateral = moment.context.reading.signals.get(s::ACCELERATION_LATERAL).filter(|_| moment.is_moving());
    lateral.map_or(Verdict::NOT_ASSESSED, |lateral| Verdict::above(f64::from(lateral.abs()), *limit, *close))
}

pub fn over_speed<'a>(moment: &Moment<'a>, _: &mut RuleMemory, [limit, close, ..]: &Values) -> Verdict<'a> {
    let speed = moment.context.reading.signals.get(s::SPEED);
    speed.map_or(Verdict::NOT_ASSESSED, |speed| Verdict::above(f64::from(speed), *limit, *close))
}

fn longitudinal(moment: &Moment<'_>) -> Option<f64> {
    let signals = &moment.context.reading.signals;
    if let Some(acceleration) = signals.get(s::ACCELERATION_LONGITUDINAL) {
        // A box that is thrown about in a parked vehicle is no driving.
        let is_driving = moment.is_moving() || moment.speed_before_km_per_h.is_some_and(|speed| speed > 10.0);
        return is_driving.then_some(f64::from(acceleration));
    }
    let (now, before) = (signals.get(s::SPEED)?, moment.speed_before_km_per_h?);
    let seconds = moment.dt_s.filter(|dt_s| (SPEED_STEP_S.0..=SPEED_STEP_S.1).contains(dt_s))?;
    Some(f64::from((now - before) / 3.6 / seconds))
}
