//! The controller's process.

fn main() {
    print!(
        "{}",
        scaleouttask_controller::api::crd_yaml().unwrap_or_default()
    );
}
