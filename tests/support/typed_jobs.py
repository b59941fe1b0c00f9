"""A job with a class of payloads, where a child process can import both."""

from attrs import evolve, frozen

from detent.jobs import JobContext, Task, TypedJob


@frozen
class Order:
    """A payload."""

    item: str
    quantity: int = 1


class Shipping(TypedJob[Order]):
    """Says in its result what it was handed."""

    kind = "ship"

    def execute(self, ctx: JobContext, task: Task, order: Order, /) -> Task | None:
        """Tell the payload."""
        return evolve(task, result=f"{order.quantity} of {order.item}")


async def ship_later(ctx: JobContext, order: Order) -> None:
    """Find out what it was handed."""
    assert isinstance(order, Order)
