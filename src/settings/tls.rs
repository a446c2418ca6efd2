//! Which files TLS is made of, for whoever accepts or opens such connections. What they hold is read by `tls`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// PEM files. An empty path: none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// Our own, with what is between it and its authority.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// Whose signature the other side's certificate must bear.
    pub authority: PathBuf,
}

impl TlsFiles {
    /// Plain text, if not even this.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        is_given(&self.certificate)
    }

    #[must_use]
    pub fn has_authority(&self) -> bool {
        is_given(&self.authority)
    }

    /// Where one of certificate and key is without the other. `section`: where the settings stand.
    #[must_use]
    pub fn problem(&self, section: &str) -> Option<String> {
        let alone = is_given(&self.certificate) != is_given(&self.private_key);
        alone.then(|| format!("`{section}.certificate` and `{section}.private_key` go together; one of them is empty"))
    }
}

fn is_given(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}
