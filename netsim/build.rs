//! The contract files are tests of their own: a new one has to rebuild them.

fn main() {
    println!("cargo::rerun-if-changed=contract");
}
