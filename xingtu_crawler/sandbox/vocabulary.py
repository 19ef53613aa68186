"""The words of the synthetic population: tags, places, names and themes, in tables of 256 slots.

One byte per author and trait selects a slot. Knows no authors.
"""

from __future__ import annotations

from dataclasses import dataclass

TAG_TREE: dict[str, tuple[str, ...]] = {
    "美食": ("美食教程", "美食探店", "美食产品测评", "乡村野食", "美食其他", "酒类"),
    "游戏": ("游戏剧情", "游戏解说", "游戏资讯", "游戏其他", "游戏录屏", "游戏集锦"),
    "美妆": ("美妆教程", "妆容展示", "护肤保养", "美妆测评种草"),
    "时尚": ("穿搭", "街拍", "造型", "时尚媒体"),
    "生活": ("生活记录", "生活小窍门", "好物推荐", "健康养生", "婚恋"),
    "剧情搞笑": ("剧情", "搞笑"),
    "颜值达人": ("美女", "帅哥"),
    "影视娱乐": ("影视解说", "影视混剪", "明星资讯", "综艺解说", "综艺混剪"),
    "母婴亲子": ("育儿科普", "萌娃日常", "亲子互动", "测评种草"),
    "运动健身": ("健身", "极限运动", "体育资讯", "冰雪", "垂钓", "格斗", "球类项目", "综合体育"),
    "科技数码": ("3C数码", "家居电器", "科技"),
    "汽车": ("汽车测评", "汽车知识", "汽车周边"),
    "旅行": ("旅行记录", "旅行攻略", "旅行推荐", "户外生活"),
    "萌宠": ("日常宠物", "特别宠物", "宠物周边"),
    "测评": ("美妆测评", "3C数码测评", "汽车测评", "美食产品测评", "母婴产品测评", "综合测评", "酒店测评"),
    "音乐": ("歌曲演唱", "乐器演奏", "音乐教学", "音乐其他", "音乐剪辑"),
    "教育培训": ("考学培训", "语言教学", "个人管理", "职业教育"),
    "生活家居": ("硬装", "软装", "生活技巧", "家居氛围"),
    "才艺技能": ("创意才能", "手工", "摄影", "绘画", "其他才艺"),
    "艺术文化": ("传统文化", "人文科普", "自然科学"),
    "财经投资": ("传统金融", "互联网金融", "财经知识"),
    "二次元": ("二次元真人", "动画漫画", "配音声优", "宅物手办"),
    "房产": ("其他房产", "房产知识", "房产及投资", "楼盘评测", "楼市资讯", "租房"),
    "舞蹈": (),
    "三农": (),
    "情感": (),
    "园艺": (),
    "随拍": (),
    "媒体号": (),
}
"""The marketplace's content tags, first level -> second level; the most frequent one is first."""

NOUNS = ("达人", "日记", "小铺", "研究所", "同学", "笔记", "频道", "现场")
THEME_VARIANTS = 16
_COMMON_THEMES = (
    "国内旅行",
    "海外旅行",
    "美食探店",
    "家常菜谱",
    "家庭生活记录",
    "日常穿搭",
    "搞笑剧情",
    "户外运动",
    "智能家居",
    "手机评测",
    "宝宝辅食",
    "清洁技巧",
)
_PLACES = (
    ("北京市", "北京市"),
    ("上海市", "上海市"),
    ("广东省", "广州市"),
    ("广东省", "深圳市"),
    ("浙江省", "杭州市"),
    ("四川省", "成都市"),
    ("重庆市", "重庆市"),
    ("江苏省", "南京市"),
    ("湖北省", "武汉市"),
    ("湖南省", "长沙市"),
    ("山东省", "青岛市"),
    ("河南省", "郑州市"),
    ("陕西省", "西安市"),
    ("福建省", "厦门市"),
    ("浙江省", "宁波市"),
    ("江苏省", "苏州市"),
    ("天津市", "天津市"),
    ("辽宁省", "沈阳市"),
    ("黑龙江省", "哈尔滨市"),
    ("吉林省", "长春市"),
    ("河北省", "石家庄市"),
    ("山西省", "太原市"),
    ("安徽省", "合肥市"),
    ("江西省", "南昌市"),
    ("云南省", "昆明市"),
    ("贵州省", "贵阳市"),
    ("广西壮族自治区", "南宁市"),
    ("海南省", "海口市"),
    ("甘肃省", "兰州市"),
    ("新疆维吾尔自治区", "乌鲁木齐市"),
    ("内蒙古自治区", "呼和浩特市"),
    ("北京市", ""),
    ("广东省", ""),
    ("", ""),
)


@dataclass(frozen=True, slots=True)
class TagSlot:
    """An author's subject: tags of both levels, their numbers, and theme labels by variant."""

    relation: dict[str, tuple[str, ...]]
    ids: tuple[int, ...]
    ids_level_two: tuple[int, ...]
    themes: tuple[tuple[str, ...], ...]

    @property
    def primary(self) -> str:
        """The first tag of the first level."""
        return next(iter(self.relation))

    def names(self) -> set[str]:
        """All tags of both levels."""
        return {name for first, seconds in self.relation.items() for name in (first, *seconds)}


@dataclass(frozen=True, slots=True)
class LookSlot:
    """An author's gender (1 male, 2 female, 0 unknown), province and city ("" if unknown)."""

    gender: int
    province: str
    city: str


def _themes(first: str, seconds: tuple[str, ...], slot: int) -> tuple[tuple[str, ...], ...]:
    own = [f"{name}{suffix}" for name in (*seconds, first) for suffix in ("分享", "合集", "体验", "攻略")]
    return tuple(
        tuple(
            dict.fromkeys(
                [own[(variant + step) % len(own)] for step in range(5)]
                + [_COMMON_THEMES[(slot + variant * 3 + step * 5) % len(_COMMON_THEMES)] for step in range(5)]
            )
        )
        for variant in range(THEME_VARIANTS)
    )


def _tag_slots() -> tuple[TagSlot, ...]:
    firsts = list(TAG_TREE)
    # The weight decreases with the place in the tree, so that some tags are ten times as frequent as others.
    weighted = [first for place, first in enumerate(firsts) for _ in range(max(3, round(24 / (1 + place * 0.25))))]
    slots = []
    for slot in range(256):
        first = weighted[slot * len(weighted) // 256]
        seconds = TAG_TREE[first]
        relation: dict[str, tuple[str, ...]] = {first: (seconds[slot % len(seconds)],) if seconds else ()}
        if slot % 5 == 0:
            other = firsts[(slot * 7 + 3) % len(firsts)]
            relation.setdefault(other, TAG_TREE[other][:1])
        ids_level_two = tuple(
            400 + firsts.index(name) * 10 + TAG_TREE[name].index(second)
            for name, chosen in relation.items()
            for second in chosen
        )
        ids = tuple(1 + firsts.index(name) for name in relation)
        slots.append(TagSlot(relation, ids, ids_level_two, _themes(first, relation[first], slot)))
    return tuple(slots)


def _look_slots() -> tuple[LookSlot, ...]:
    slots = []
    for slot in range(256):
        place, third = divmod(slot, 3)
        gender = (1, 2, 0 if place % 3 == 0 else 1 + place % 2)[third]
        slots.append(LookSlot(gender, *_PLACES[place % len(_PLACES)]))
    return tuple(slots)


TAG_SLOTS = _tag_slots()
LOOK_SLOTS = _look_slots()
