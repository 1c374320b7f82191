//! The chart: CPU per work done, a group of bars per row, drawn as SVG.

use std::fmt::Write as _;

use anyhow::Result;

use super::outcome::Figure;
use super::peer::{PEERS, Peer};
use super::report::{Outcomes, cpu_unit, title};
use super::row::{Load, ROWS, Row};

const WIDTH: f64 = 860.0;
const LABELS_WIDTH: f64 = 250.0;
const BAR_HEIGHT: f64 = 11.0;
const GROUP_GAP: f64 = 14.0;
const TOP: f64 = 64.0;
/// Room for the number behind the longest bar.
const NUMBER_WIDTH: f64 = 60.0;
/// The scale is logarithmic: brokers differ by factors. It spans these.
const LEAST: f64 = 0.02;
const MOST: f64 = 30.0;

fn colour(peer: Peer) -> &'static str {
    match peer {
        Peer::FloorSync => "#9aa5b1",
        Peer::Floor => "#cbd2d9",
        Peer::Headrace => "#0b69a3",
        Peer::HeadraceCached => "#47a3f3",
        Peer::KafkaFlush => "#b44d12",
        Peer::Kafka => "#f0b429",
    }
}

/// The chart of all rows that weigh work.
pub fn svg(outcomes: &Outcomes) -> Result<String> {
    let mut body = String::new();
    let mut top = TOP;
    for row in ROWS {
        if matches!(row.load, Load::Produce(_) | Load::Consume(..))
            && outcomes.contains_key(row.name)
        {
            top = group(&mut body, row, outcomes, top)? + GROUP_GAP;
        }
    }
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{top:.0}\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">CPU seconds of the broker per GB (100 B records: per million), logarithmic; shorter is better</text>\n"
    );
    let mut x = 10.0;
    for peer in PEERS {
        writeln!(
            text,
            "<rect x=\"{x:.0}\" y=\"34\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{:.0}\" y=\"43\">{}</text>",
            colour(peer),
            x + 14.0,
            title(peer)
        )?;
        x += if peer == Peer::HeadraceCached {
            170.0
        } else {
            110.0
        };
    }
    text.push_str(&body);
    text.push_str("</svg>\n");
    Ok(text)
}

/// Draws a row's bars and gives where they end.
fn group(body: &mut String, row: &Row, outcomes: &Outcomes, top: f64) -> Result<f64> {
    let outcome = &outcomes[row.name];
    let unit: Figure = cpu_unit(row);
    let mut y = top;
    for peer in PEERS {
        let Some(value) = outcome.median(peer, unit) else {
            continue;
        };
        let part = ((value / LEAST).ln() / (MOST / LEAST).ln()).clamp(0.005, 1.0);
        let width = part * (WIDTH - LABELS_WIDTH - NUMBER_WIDTH);
        writeln!(
            body,
            "<rect x=\"{LABELS_WIDTH}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"9\">{value:.2}</text>",
            BAR_HEIGHT - 1.0,
            colour(peer),
            LABELS_WIDTH + width + 4.0,
            y + BAR_HEIGHT - 2.0
        )?;
        y += BAR_HEIGHT;
    }
    writeln!(
        body,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
        LABELS_WIDTH - 8.0,
        f64::midpoint(top, y) + 4.0,
        row.title
    )?;
    Ok(y)
}
