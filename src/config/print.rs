//! `--print-config`: the settings as used, as a file that could be read back,
//! each with where it comes from.

use super::resolve::Resolved;
use super::table::SETTINGS;

/// The settings as TOML, one comment each for its origin.
#[must_use]
pub fn as_toml(resolved: &Resolved) -> String {
    let mut out = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.flag_only {
            continue;
        }
        if setting.group() != group {
            group = setting.group();
            out.push_str(&format!("\n[{group}]\n"));
        }
        let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
        let value = setting.written(&resolved.config);
        if setting.is_secret() {
            let set = if resolved.is_set(setting.key) { "set" } else { "not set" };
            let line = format!("# {name} is {set}, and never shown");
            out.push_str(&format!("{line:<40} # {}\n", resolved.origin(setting.key)));
            continue;
        }
        let line = format!("{name} = {value}");
        out.push_str(&format!("{line:<40} # {}\n", resolved.origin(setting.key)));
    }
    out
}
