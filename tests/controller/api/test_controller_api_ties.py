"""Whoever makes a resource that means the same address as another one is told so at once."""

from controller_api import Controller


async def test_ties_are_told_when_a_resource_is_made_read_and_changed(controller: Controller) -> None:
    owner = await controller.owner()
    networks = [(await owner.post("/api/v1/networks", json={"name": name})).json() for name in ("office", "plant")]
    lan = {"address": "10.0.0.0/24", "ports": {"tcp": ["22"]}}
    first, second = [
        (
            await owner.post("/api/v1/resources", json={**lan, "network": each["id"], "name": f"lan {each['name']}"})
        ).json()
        for each in networks
    ]
    assert first["ties"] == []
    [tie] = second["ties"]
    assert (tie["id"], tie["name"], tie["network_name"]) == (first["id"], "lan office", "office")
    assert tie["decides"] is (first["id"] < second["id"])
    [back] = (await owner.get(f"/api/v1/resources/{first['id']}")).json()["ties"]
    assert (back["id"], back["decides"]) == (second["id"], not tie["decides"])
    moved = await owner.patch(f"/api/v1/resources/{second['id']}", json={"address": "10.0.1.0/24"})
    assert moved.json()["ties"] == []
    assert "ties" not in (await owner.get("/api/v1/resources")).json()["items"][0]
