"""A job with a class of payloads, where a child process can import both."""

from datetime import timedelta

from attrs import define, evolve, frozen

from duly.jobs import JobContext, Task, Then, TypedJob

HOUR = timedelta(hours=1)


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


@define
class Basket:
    """A payload that may change after it was given."""

    items: list[str]


def ship_on(ctx: JobContext, task: Task, order: Order) -> Then:
    """Spawn what remains, one task with an object and one with bytes, and go on with one piece less."""
    ctx.spawn("rest", "ship", payload=evolve(order, item="rest"))
    ctx.spawn("bytes", Shipping, payload=b'{"item":"bytes"}')
    return Shipping().with_payload(task, evolve(order, quantity=order.quantity - 1)).then(after=HOUR)


async def ship_on_async(ctx: JobContext, task: Task, order: Order) -> Then:
    """Do the same as a coroutine."""
    return ship_on(ctx, task, order)


def spawn_another_class(ctx: JobContext, order: Order) -> None:
    """Give an object of the wrong class."""
    ctx.spawn("rest", "ship", payload=Basket([order.item]))


def spawn_and_change(ctx: JobContext, order: Order) -> None:
    """Change what was given, after it was."""
    basket, labels = Basket([order.item]), {"for": "ada"}
    ctx.spawn("basket", "basket", payload=basket, metadata=labels)
    basket.items.clear()
    labels.clear()


def go_on(ctx: JobContext, task: Task) -> Then:
    """Go on with what there is."""
    return task.then(after=HOUR)
