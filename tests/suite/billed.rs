//! The world with an operator that the tests of meters and gates share.

use tokio::sync::OnceCell;

use crate::world::{Operator, World};

/// A world with an operator.
pub struct Billed {
    /// The world.
    pub world: World,
    _operator: Operator,
}

/// Returns the world, which the first caller starts.
pub async fn billed() -> &'static Billed {
    static BILLED: OnceCell<Billed> = OnceCell::const_new();
    let start = async || {
        let world = World::start().await;
        let operator = world.operator(&[]);
        Billed { world, _operator: operator }
    };
    BILLED.get_or_init(start).await
}
