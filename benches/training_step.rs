//! How long steps of the slice encoder's training take: one JSON line a network. `tests/bench/training_speed.py` runs it
//! beside PyTorch.
//!
//! It is a plain program, because the script that reads its lines needs every single step, not a summary.

use std::time::Instant;

use pe_node::learn::train::benchmarks::EncoderSteps;

/// Names and settings: the default, and one with more and wider blocks on smaller slices.
const NETWORKS: [(&str, &[&str]); 2] = [
    ("pyramid", &[]),
    ("residual", &["input.size=[96, 96]", "encoder.widths=[24, 48, 96]", "encoder.blocks=[2, 2, 1]"]),
];

fn main() {
    let count: usize = std::env::var("PE_NODE_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    for (network, settings) in NETWORKS {
        let mut steps = EncoderSteps::new(settings).expect("valid settings");
        let seconds = (0..count).map(|_| {
            let started = Instant::now();
            let loss = steps.step();
            assert!(loss.is_finite(), "a loss of {loss}");
            started.elapsed().as_secs_f64()
        });
        let seconds: Vec<f64> = seconds.collect();
        let line = serde_json::json!({ "network": network, "parameters": steps.parameters(), "seconds": seconds });
        println!("{line}");
    }
}
