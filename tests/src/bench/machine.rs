//! Where a run took place: processor, kernel, nginx.

use std::fs;

use super::nginx;

/// All processors count: this program is held on one of them.
pub(super) fn described() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (processors, kernel) = (processors_of(&processors), kernel_version(&kernel));
    format!("{processors}, Linux {kernel}, {}", nginx::version())
}

/// `6.1.0`, without what a distribution adds.
fn kernel_version(release: &str) -> &str {
    release.trim().split('-').next().unwrap_or_default()
}

fn processors_of(text: &str) -> String {
    let values = |name| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let model = values("model name").next().unwrap_or("unknown processor");
    format!("{model} ({} processors)", values("processor").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_its_processors_model_and_how_many_there_are() {
        let text =
            "processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
        assert_eq!(processors_of(text), "AMD EPYC (2 processors)");
        assert_eq!(processors_of(""), "unknown processor (0 processors)");
    }
}
