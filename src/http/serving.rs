//! How a server is to be run, as plain values: what the command line and the configuration file fill in.

use super::{guard::Policy, listen::Place, server::Limits};
use crate::core::Error;

/// Everything that `serve` can be told beside the core's settings.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// Where to listen; empty: port 7000 of both loopbacks.
    pub places: Vec<Place>,
    /// Who may do what.
    pub policy: Policy,
    /// What a connection may cost.
    pub limits: Limits,
    /// Other machines may use it without a token.
    pub allow_public: bool,
}

impl Serving {
    /// Refuses to be open to the network by accident.
    pub fn check(&self, places: &[&Place]) -> Result<(), Error> {
        let open = places.iter().find(|place| place.is_public());
        match open {
            Some(place) if self.policy.token.is_none() && !self.allow_public => Err(Error::Usage(format!(
                "{place} can be reached by other machines, and without a token whoever reaches it can use it; \
                 set SWARMCAT_TOKEN (or serve.token in swarmcat.toml), or say --allow-public"
            ))),
            _ => Ok(()),
        }
    }
}
