"""The labels and codes that the documentation of the author search lists, as data.

`filters` assigns them to filters.
"""

from __future__ import annotations


def _groups(text: str) -> dict[str, tuple[str, ...]]:
    """Read lines of `heading: label, label`; an indented line continues the previous one."""
    groups: dict[str, tuple[str, ...]] = {}
    for line in text.strip().replace("\n   ", "").splitlines():
        heading, _, labels = line.partition(":")
        groups[heading] = tuple(label.strip() for label in labels.split(",") if label.strip())
    return groups


def _codes(text: str) -> dict[str, tuple[str, ...]]:
    """Read lines of `NAME alias alias`."""
    return {name: tuple(aliases) for name, *aliases in map(str.split, text.strip().splitlines())}


MARKETING_TARGETS = _codes("""
BRAND_EXPOSURE 1 品牌曝光
CIRCLE_SEEDING 2 破圈种草
ACTION_CONVERSION 3 行动转化
""")

GENDERS = _codes("""
MALE 1 男性
FEMALE 2 女性
""")

INDUSTRIES = _codes("""
ALL 0 不限
ELECTRONICS_AND_APPLIANCES 1901 3C及电器
SHOPPING 1938 购物
FOOD_AND_BEVERAGE 1903 食品饮料
CLOTHING_AND_ACCESSORIES 1904 服装配饰
HEALTHCARE_AND_MEDICAL 1905 医药健康
MEDICAL_INSTITUTIONS 1936 医疗机构
HOME_AND_BUILDING_MATERIALS 1909 家居建材
LOCAL_SERVICES 1907 生活服务
BUSINESS_SERVICES 1906 商务服务
CULTURE_SPORTS_ENTERTAINMENT 1921 休闲娱乐
BEAUTY_SERVICES 1937 丽人
REAL_ESTATE 1908 房地产
EDUCATION_AND_TRAINING 1910 教育培训
TRAVEL_AND_TOURISM 1911 出行旅游
PUBLIC_SERVICES 1912 社会公共
GAMES 1913 游戏
RETAIL 1914 互联网电商服务
TRANSPORTATION_EQUIPMENT 1915 交通工具
AUTOMOTIVE 1916 汽车
AGRICULTURE_FORESTRY_FISHERY 1917 农资园艺
CHEMICAL_AND_ENERGY
ELECTRONICS_AND_ELECTRICAL
MACHINERY_EQUIPMENT 1920 机械设备
MEDIA_AND_INFORMATION 1922 传媒资讯
LOGISTICS
TELECOMMUNICATIONS 1924 通信
FINANCIAL_SERVICES 1925 金融业
CATERING_SERVICES 1927 餐饮服务
SOFTWARE_TOOLS 1928 工具类软件
FRANCHISING_AND_INVESTMENT 1929 招商加盟
BEAUTY_AND_COSMETICS 1930 美妆
MOTHER_BABY_AND_PET 1931 母婴宠物
DAILY_CHEMICALS 1933 日化
PHYSICAL_BOOKS 1934 实体书籍
SOCIAL_AND_COMMUNICATION 1935 社交通讯
CULTURAL_SUPPLIES 1939 文化用品
SPORTS_OUTDOOR 1940 运动户外
""")
"""The documentation lists names separately from numbers and Chinese labels; they are paired here by meaning."""

AUTHOR_LISTS = _codes("""
SHORT_LIVE_ENTERTAINMENT_CREATORS 7540478044453486642 短直联动娱播达人
SHORT_DRAMA_ACTORS 7591708652957155378 短剧演员
WECHAT_QUICK_CONNECT_CREATORS 7644854622347100210 企微可快速建联达人
AI_STAR_PLAN_CREATORS 7658250094571814938 AI星企划达人
COMMERCE_ADVANTAGE_CREATORS 7648906835038568499 带货优势达人
HIGH_VALUE_CREATORS 7656639212045516826 高性价比达人
SEEDING_ADVANTAGE_CREATORS 7663404694186033202 种草优势达人
BASKETBALL_CREATORS 7501674900550238234 运动圈层达人-篮球
PREMIUM_CONTENT_MEDIA 7586629331582222374 精品内容型媒体推荐
TREND_SETTING_MEDIA 7586616213569781769 趋势造风型媒体推荐
FACTORY_TRACEABILITY_MEDIA 7586616269403832370 探厂溯源型媒体推荐
RUNNING_CREATORS 7501675026170281994 运动圈层达人-跑步
LIGHT_OUTDOOR_CREATORS 7501674458878181413 运动圈层达人-轻户外
FITNESS_CREATORS 7501674307430236197 运动圈层达人-运动健身
YOGA_CREATORS 7501678481074929674 运动圈层达人-瑜伽
STREET_SPORTS_CREATORS 7501677564604383259 运动圈层达人-街头运动
CYCLING_CREATORS 7501677556094042149 运动圈层达人-骑行
FOOTBALL_CREATORS 7501674900550483994 运动圈层达人-足球
FISHING_CREATORS 7501676465915215881 运动圈层达人-垂钓
BEAUTY_QUALITY_CREATORS 7460387606572875826 美妆质感达人
""")

IMAGES = _codes("""
GENDER_MALE_50
GENDER_MALE_60
GENDER_MALE_70
GENDER_MALE_80
GENDER_FEMALE_50
GENDER_FEMALE_60
GENDER_FEMALE_70
GENDER_FEMALE_80
AGE_18_23
AGE_24_30
AGE_31_40
AGE_41_50
AGE_GT_50
DEVICE_IPHONE
DEVICE_HUAWEI
DEVICE_XIAOMI
DEVICE_VIVO
DEVICE_OPPO
CITY_TIER_1
CITY_TIER_2
CITY_TIER_3
CITY_TIER_4
CITY_TIER_5
SPEND_0_50
SPEND_50_100
SPEND_100_200
SPEND_200_500
SPEND_GT_500
CROWD_REFINED_MOTHER 53 精致妈妈
CROWD_URBAN_SILVER 54 都市银发
CROWD_NEW_WHITE_COLLAR 55 新锐白领
CROWD_SENIOR_MIDDLE_CLASS 56 资深中产
CROWD_URBAN_BLUE_COLLAR 57 都市蓝领
CROWD_GEN_Z 58 Z世代
CROWD_TOWN_MIDDLE_AGED 59 小镇中老年
CROWD_TOWN_YOUTH 60 小镇青年
""")
"""Profiles of the audience and of the fans: a group, and for some the minimum share of it in percent."""

PRICE_TYPES = _codes("""
视频1_20s
视频21_60s
视频60s以上
定制短剧单集
千次自然播放量
短直种草视频
短直预热视频
短直明星种草
短直明星预热
明星视频
合集视频
抖音短视频共创_主投稿达人
抖音短视频共创_参与达人
VIDEO_1_20S
VIDEO_21_60S
VIDEO_OVER_60S
CUSTOM_SHORT_DRAMA_EPISODE
NATURAL_PLAY_CPM
SHORT_LIVE_SEEDING_VIDEO
SHORT_LIVE_WARMUP_VIDEO
CELEBRITY_SHORT_LIVE_SEEDING
CELEBRITY_SHORT_LIVE_WARMUP
CELEBRITY_VIDEO
COLLECTION_VIDEO
DOUYIN_SHORT_VIDEO_CO_CREATION_MAIN_CREATOR
DOUYIN_SHORT_VIDEO_CO_CREATION_PARTICIPANT
PRODUCT_PLACEMENT_VIDEO
CUSTOM_VIDEO
""")
"""Three generations of names, newest last; the API decides which of them it accepts today."""

PROVINCES = _groups("""
Provinces: 北京市, 天津市, 河北省, 山西省, 内蒙古自治区, 辽宁省, 吉林省, 黑龙江省, 上海市, 江苏省, 浙江省,
    安徽省, 福建省, 江西省, 山东省, 河南省, 湖北省, 湖南省, 广东省, 广西壮族自治区, 海南省, 重庆市,
    四川省, 贵州省, 云南省, 西藏自治区, 陕西省, 甘肃省, 青海省, 宁夏回族自治区, 新疆维吾尔自治区, 台湾省,
    香港特别行政区, 澳门特别行政区
""")
"""The API also accepts cities; the documentation does not list them."""

CONTENT_TAGS = _groups("""
美妆: 美妆教程, 妆容展示, 护肤保养, 美妆测评种草
时尚: 穿搭, 街拍, 造型, 时尚媒体
萌宠: 日常宠物, 特别宠物, 宠物周边
测评: 美妆测评, 3C数码测评, 汽车测评, 美食产品测评, 母婴产品测评, 综合测评, 酒店测评
游戏: 游戏剧情, 游戏解说, 游戏资讯, 游戏其他, 游戏录屏, 游戏集锦
二次元: 二次元真人, 动画漫画, 配音声优, 宅物手办
旅行: 旅行记录, 旅行攻略, 旅行推荐, 户外生活
汽车: 汽车测评, 汽车知识, 汽车周边
生活: 生活记录, 生活小窍门, 好物推荐, 健康养生, 婚恋
音乐: 歌曲演唱, 乐器演奏, 音乐教学, 音乐其他, 音乐剪辑
舞蹈:
美食: 美食教程, 美食探店, 美食产品测评, 乡村野食, 美食其他, 酒类
母婴亲子: 育儿科普, 萌娃日常, 亲子互动, 测评种草
运动健身: 健身, 极限运动, 体育资讯, 冰雪, 垂钓, 格斗, 球类项目, 综合体育
科技数码: 3C数码, 家居电器, 科技
教育培训: 考学培训, 语言教学, 个人管理, 职业教育
颜值达人: 美女, 帅哥
生活家居: 硬装, 软装, 生活技巧, 家居氛围
才艺技能: 创意才能, 手工, 摄影, 绘画, 其他才艺
影视娱乐: 影视解说, 影视混剪, 明星资讯, 综艺解说, 综艺混剪
艺术文化: 传统文化, 人文科普, 自然科学
财经投资: 传统金融, 互联网金融, 财经知识
三农:
剧情搞笑: 剧情, 搞笑
情感:
园艺:
房产: 其他房产, 房产知识, 房产及投资, 楼盘评测, 楼市资讯, 租房
随拍:
媒体号:
""")

CONTENT_THEMES = _groups("""
妆容妆造: 淡妆教程, 变装造型, 韩系妆容, 甜美妆容, 清透妆容, 复古妆容, 男性妆容
穿搭指南: 日常穿搭, 简约气质穿搭, 国风穿搭, 运动穿搭, 通勤穿搭, 旅行穿搭, 职业穿搭, 约会穿搭
亲子育儿: 亲子活动, 亲子沟通, 学前训练, 新手爸妈指导, 儿童护理, 宝宝辅食, 奶粉测评, 孕产饮食
美食教程与测评: 地方美食, 家常菜谱, 美食探店, 零食测评, 酒水品鉴, 厨房用品, 海鲜烹饪, 减脂美食
精彩车生活: 汽车行业资讯, 用车知识, 车辆保养, 自驾旅行, 新能源汽车资讯, 汽车用品测评, SUV测评
手机/数码/家电分享: 科技科普, 电子产品测评, 家电推荐, 手机评测, 智能家居, AI应用, 数码开箱
剧情演绎: 搞笑剧情, 剧情反转, 情感演绎, 家庭幽默演绎, 职场趣闻, 古风剧情, 生存挑战
萌宠养护: 宠物狗故事, 动物萌态, 宠物养护, 猫咪萌态, 宠物健康, 宠物护理, 宠物救助
旅行攻略: 国内旅行, 海外旅行, 城市旅行攻略, 酒店体验, 露营体验, 亲子旅行, 网红景点种草
家居好物: 清洁技巧, 生活好物评测, 家居选购, 家居装修, 家居收纳, 家装避坑, 房间布置
运动户外: 户外运动, 健身塑形, 赛事回顾, 体重管理, 极限运动, 跑步健身, 户外露营
""")

PERSONA_TAGS = _groups("""
人群属性: Z世代, 新锐白领, 精致妈妈, 都市蓝领, 资深中产, 小镇青年, 小镇中老年, 都市银发
社会身份: 音乐人, 非遗传人, 画家
主要出镜人物: 海外华人, 外国友人, 情侣, 夫妻, 家庭, 朋友, 同事, 亲子, 个人
肤质肤色: 混油皮, 干皮, 油皮, 敏感肌, 痘痘肌, 黄皮, 白皮, 瑕疵皮
皮肤养护: 美白, 抗老, 祛皱, 抗炎, 修复, 控油, 眼部护理, 补水保湿, 祛斑, 祛痘祛闭口, 隔离防晒
母婴阶段: 孕期, 0-6月, 7-12月, 1-3岁, 3-6岁, 6-12岁, 12-15岁, 15-18岁
爱好: 摄影, 时尚穿搭, 美食制作, 科普, 星座, 绘画
职业: 法律从业者, 航空业从业者, 健身/舞蹈教练, 专业美食从业者, 室内设计师
学历: 大学生, 硕士生, 博士, 留学生
黄v认证: 美妆创作者, 体育创作者, 媒体人/主持人, 科技创作者, 运动员
Other labels: 潮流运动, 球类, 非球类, 室内健身, 城市运动, 户外运动, 数码潮流玩家, 户外爱好者, 室内设计师,
    品酒家/调酒师, 美食评论人, 母婴行业专家, 奶爸, 旧屋改造, 装修设计, 收纳, 新生儿妈妈, 孕妈, 时尚妈妈,
    二三胎妈妈, 西餐, 火锅, 国风爱好者, 成分党
""")

TONALITY_TAGS = _groups("""
身份/爱好: 马术, 高尔夫, 橄榄球, 时尚爱好者, 企业高管, 汽车爱好者, 学者专家, 古玩收藏
精致达人: 设计师, 高阶潮玩, 职业模特, 造型顾问, 独立设计师, 美术/画廊/展览, 歌剧舞台剧, 流行, 潮流买手,
    电影
潮流酷: 冲浪, 浮潜, 说唱, 滑雪, 普拉提, 网球
""")
