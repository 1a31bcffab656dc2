//! A simulated ACK task API, scripted in YAML.
