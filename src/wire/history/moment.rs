//! The time column of a row to a moment. Keeps the last moment of each vehicle elsewhere: `reader`.

use std::path::{Path, PathBuf};

use jiff::Span;
use jiff::civil::{Date, Time};

use super::columns::TimeForm;
use super::rows::{Cell, HistoryError};
use crate::domain::Timestamp;

/// A step back in the time of day by more than this is midnight, not a clock that was set.
const MIDNIGHT_STEP_HOURS: i64 = 12;

/// Reads the time column of one file from top to bottom.
#[derive(Debug)]
pub(super) struct Moments {
    form: TimeForm,
    /// Of the file name, moved on at midnight.
    date: Date,
    last_time: Option<Time>,
}

impl Moments {
    /// # Errors
    /// Where the map takes the date from the file name and there is none.
    pub(super) fn new(form: &TimeForm, path: &Path) -> Result<Self, HistoryError> {
        let date = match form {
            TimeForm::TimeOfDay(_) => date_in_name(path).ok_or_else(|| HistoryError::NoDate { path: PathBuf::from(path) })?,
            TimeForm::Rfc3339 | TimeForm::SecondsSince(_) => Date::ZERO,
        };
        Ok(Self { form: form.clone(), date, last_time: None })
    }

    /// `None` where the cell is no moment of the form.
    pub(super) fn read(&mut self, cell: Cell<'_>) -> Option<Timestamp> {
        match (&self.form, cell) {
            (TimeForm::Rfc3339, Cell::Moment(moment)) => Some(moment),
            (TimeForm::Rfc3339, Cell::Text(text)) => text.parse().ok(),
            (TimeForm::SecondsSince(start), cell) => {
                let seconds = cell.number().ok().flatten().filter(|seconds| seconds.abs() < 1e9)?;
                #[expect(clippy::cast_possible_truncation, reason = "below 1e15 microseconds")]
                let micros = (seconds * 1e6).round() as i64;
                Some(Timestamp::from_micros(start.as_micros().checked_add(micros)?))
            }
            (TimeForm::TimeOfDay(zone), Cell::Text(text)) => {
                let time: Time = text.parse().ok()?;
                if let Some(last) = self.last_time {
                    let past_midnight = time.duration_until(last).as_hours() >= MIDNIGHT_STEP_HOURS;
                    let before_midnight = last.duration_until(time).as_hours() >= MIDNIGHT_STEP_HOURS;
                    let days = i64::from(past_midnight) - i64::from(before_midnight);
                    self.date = self.date.checked_add(Span::new().days(days)).ok()?;
                }
                self.last_time = Some(time);
                let moment = zone.to_ambiguous_timestamp(self.date.to_datetime(time)).compatible().ok()?;
                Some(Timestamp::from_micros(moment.as_microsecond()))
            }
            _ => None,
        }
    }
}

/// The first `YYYY-MM-DD` in a file's name.
fn date_in_name(path: &Path) -> Option<Date> {
    const LENGTH: usize = "2017-07-05".len();
    let name = path.file_name()?.to_str()?;
    name.char_indices().find_map(|(at, _)| name.get(at..at + LENGTH)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn time_of_day(file: &str) -> Moments {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Moments::new(&TimeForm::TimeOfDay(berlin), Path::new(file)).unwrap()
    }

    fn read(moments: &mut Moments, text: &str) -> String {
        moments.read(Cell::Text(text)).map_or_else(String::new, |moment| moment.to_string())
    }

    #[test]
    fn a_local_time_of_day_becomes_utc_in_summer_and_in_winter() {
        assert_eq!(read(&mut time_of_day("2017-07-05_x.csv.gz"), "07:16:30.444"), "2017-07-05T05:16:30.444Z");
        assert_eq!(read(&mut time_of_day("drive 2017-12-05.csv"), "07:16:30.444"), "2017-12-05T06:16:30.444Z");
    }

    #[test]
    fn midnight_moves_the_date_on_and_a_small_step_back_does_not() {
        let mut moments = time_of_day("2017-07-05.csv");
        assert_eq!(read(&mut moments, "23:59:59.900"), "2017-07-05T21:59:59.9Z");
        assert_eq!(read(&mut moments, "00:00:00.100"), "2017-07-05T22:00:00.1Z");
        assert_eq!(read(&mut moments, "23:59:59.950"), "2017-07-05T21:59:59.95Z");
        assert_eq!(read(&mut moments, "00:00:00.200"), "2017-07-05T22:00:00.2Z");
    }

    #[test]
    fn seconds_count_from_the_start_with_their_fraction() {
        let start = "2019-01-01T12:00:00Z".parse().unwrap();
        let mut moments = Moments::new(&TimeForm::SecondsSince(start), Path::new("x")).unwrap();
        assert_eq!(read(&mut moments, "90.25"), "2019-01-01T12:01:30.25Z");
        assert_eq!(read(&mut moments, "soon"), "");
        assert_eq!(moments.read(Cell::Number(f64::NAN)), None);
    }

    #[test]
    fn a_file_without_a_date_in_its_name_is_refused() {
        let form = TimeForm::TimeOfDay(TimeZone::UTC);
        assert!(matches!(Moments::new(&form, Path::new("drive.csv")), Err(HistoryError::NoDate { .. })));
    }
}
