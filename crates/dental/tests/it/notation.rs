//! The three notations against `toothnotation`, a package of the Python Package Index by other hands.
//!
//! `TOOTHNOTATION_PYTHON` names the Python that has it; with `CI` set it must be there.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use clinicx_dental::{notation::Notation, tooth::Tooth};

/// Prints what the package makes of every tooth, and of every number from −20 to 120 in each notation.
const SCRIPT: &str = "
import toothnotation as t
for tooth in t.all_teeth():
    print('tooth', tooth.fdi, tooth.to('universal'), tooth.to('palmer'))
for system in t.SYSTEMS:
    for number in range(-20, 121):
        try:
            print(system, number, t.convert(str(number), system, 'fdi'))
        except ValueError:
            print(system, number, '-')
";

/// Finds a Python that has the package.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("TOOTHNOTATION_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| PathBuf::from("python3"));
    let has = Command::new(&python).args(["-c", "import toothnotation"]).output();
    let found = has.is_ok_and(|output| output.status.success()).then_some(python);
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "no toothnotation; .ci/run installs it");
    found
}

#[test]
fn every_tooth_and_every_number_is_what_another_program_says() {
    let Some(python) = python() else {
        println!("SKIPPED: no Python with toothnotation on this machine");
        return;
    };
    let output = Command::new(python).args(["-c", SCRIPT]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (mut teeth, mut numbers) = (0, BTreeMap::<&str, usize>::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["tooth", fdi, universal, palmer] = words[..] {
            let tooth: Tooth = fdi.parse().unwrap();
            for (notation, written) in
                [(Notation::Fdi, fdi), (Notation::Universal, universal), (Notation::Palmer, palmer)]
            {
                assert_eq!(notation.write(tooth), written, "{line}");
                assert_eq!(notation.read(written), Ok(tooth), "{line}");
            }
            teeth += 1;
            continue;
        }
        let [system, number, fdi] = words[..] else { panic!("{line}") };
        let notation = Notation::ALL.into_iter().find(|notation| notation.as_str() == system).unwrap();
        let ours = notation.read(number).map_or("-".to_owned(), |tooth| tooth.to_string());
        assert_eq!(ours, fdi, "{line}");
        *numbers.entry(system).or_default() += 1;
    }
    assert_eq!(teeth, 52);
    assert_eq!(numbers.into_values().collect::<Vec<_>>(), [141, 141, 141]);
}
