//! Little-endian numbers in byte buffers, for what lanes save. Knows no layout: `window::codec`, `vehicle`.

/// The bytes end too early, or say something impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("saved state is cut short or damaged at {what}")]
pub struct Damaged {
    pub what: &'static str,
}

/// Takes numbers off the front of a slice.
#[derive(Debug)]
pub struct ByteReader<'a>(&'a [u8]);

macro_rules! numbers {
    ($($name:ident $type:ident;)*) => {
        $(pub fn $name(&mut self, what: &'static str) -> Result<$type, Damaged> {
            let (bytes, rest) = self.0.split_first_chunk().ok_or(Damaged { what })?;
            self.0 = rest;
            Ok($type::from_le_bytes(*bytes))
        })*
    };
}

impl<'a> ByteReader<'a> {
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    numbers! { take_u8 u8; take_u16 u16; take_u32 u32; take_u64 u64; take_i64 i64; take_f32 f32; take_f64 f64; }

    pub fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Damaged { what })?;
        self.0 = rest;
        Ok(bytes)
    }

    /// # Errors
    /// Where something is left over.
    pub const fn end(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged { what: "its end" }) }
    }
}
