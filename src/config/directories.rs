//! The user's directories by the XDG base directory rules: `XDG_…` counts only when absolute, else `HOME`.

use std::{env, path::PathBuf};

use crate::core::Error;

const NAME: &str = "swarmcat";

/// What the environment says about the user's directories.
#[derive(Debug, Clone, Default)]
pub struct Directories {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
}

impl Directories {
    /// As the process's environment has them.
    pub fn from_env() -> Self {
        let absolute =
            |name| env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        Self {
            home: absolute("HOME"),
            config_home: absolute("XDG_CONFIG_HOME"),
            state_home: absolute("XDG_STATE_HOME"),
        }
    }

    /// The configuration file that is read without `--config`; there need not be one.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let base = self.config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(base.join(NAME).join("swarmcat.toml"))
    }

    pub(super) fn state(&self) -> Result<PathBuf, Error> {
        let under_home = || Some(self.home.as_ref()?.join(".local/state"));
        let base = self.state_home.clone().or_else(under_home).ok_or_else(|| {
            Error::Usage(
                "no state directory: neither HOME nor XDG_STATE_HOME is set (cron jobs may lack them). \
                 Give --state-dir DIR or SWARMCAT_STATE_DIR"
                    .into(),
            )
        })?;
        Ok(base.join(NAME))
    }

    /// `~/x` as the shell would read it; everything else as it is.
    pub(super) fn expand(&self, path: PathBuf) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path,
        }
    }
}
